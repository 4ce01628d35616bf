"""However a process ends, what it logged is in Redis."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from support.http import serving
from support.layout import read_counts
from support.servers import free_port
from support.unmeasured import unmeasured_environment
from support.until import until

TESTS = Path(__file__).parents[1]
PYTHON = sys.executable
APP = "support.logging_app:app"
UVICORN = (PYTHON, "-m", "uvicorn", APP, "--port")
GUNICORN = (
    *(PYTHON, "-m", "gunicorn", APP, "-k", "uvicorn_worker.UvicornWorker"),
    *("--workers", "2", "--no-control-socket", "--bind"),
)


async def counted(valkey: Redis) -> Counter[str]:
    return sum((await read_counts(valkey, "shop")).values(), Counter())


SERVERS = {
    "uvicorn": ((*UVICORN, "{port}"), 1, -signal.SIGTERM),
    "uvicorn with workers": ((*UVICORN, "{port}", "--workers", "2"), 2, 0),
    "uvicorn.run": ((PYTHON, "-m", "support.logging_app", "{port}"), 1, -signal.SIGTERM),
    "gunicorn": ((*GUNICORN, "127.0.0.1:{port}"), 2, 0),
    "gunicorn with preload": ((*GUNICORN, "127.0.0.1:{port}", "--preload"), 2, 0),
}
"""Commands, how many workers they start, and their exit code after SIGTERM."""


# After SIGINT gunicorn kills workers of this class in the end: they ignore SIGQUIT.
@pytest.mark.parametrize(
    ("kind", "end"),
    [(kind, signal.SIGTERM) for kind in SERVERS]
    + [(kind, signal.SIGINT) for kind in SERVERS if kind.startswith("uvicorn")],
)
async def test_a_server(
    valkey_url: str, valkey: Redis, tmp_path: Path, kind: str, end: signal.Signals
) -> None:
    """Every record is counted, also that of the shutdown; the exit code is the server's."""
    command, workers, code = SERVERS[kind]
    port = free_port()

    async def all_started() -> bool:
        return (await counted(valkey))["started"] == workers

    async with (
        serving(
            *(part.format(port=port) for part in command),
            port=port,
            directory=tmp_path,
            environment={
                "LOG_URL": valkey_url,
                "LINGER": "5",
                "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
            },
            exit_code=code if end == signal.SIGTERM else 0,
            stop=lambda process: process.send_signal(end),
        ),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await until(all_started)  # a worker that is stopped while it starts logs nothing
        for number in range(100):
            assert (await client.get(f"/{number}")).status_code == 204
    assert await counted(valkey) == {
        "started": workers,
        "request of %s": 100,
        "stopped": workers,
    }


async def end_of(way: str, url: str) -> tuple[int, str]:
    """Run a program to its end; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-m", "support.ends_by_signal", way, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **unmeasured_environment(),  # a signal ends it at any moment
            "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        },
    )

    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_sigterm(valkey_url: str, valkey: Redis) -> None:
    """What was logged is written, and then the default action ends the program."""
    assert await end_of("sigterm", valkey_url) == (-signal.SIGTERM, "")
    assert await counted(valkey) == {"task %s": 1}


async def test_sigterm_in_the_middle_of_calls(valkey_url: str, valkey: Redis) -> None:
    """SIGTERM in the middle of a call blocks nothing, and a second one changes nothing."""
    for _ in range(5):
        assert await end_of("busy", valkey_url) == (-signal.SIGTERM, "ready\n")
    assert (await counted(valkey)).keys() == {"task %s"}


async def test_sigterm_in_a_call(valkey_url: str, valkey: Redis) -> None:
    """The end does not wait for the call that it interrupts, and writes what was logged before."""
    assert await end_of("in_a_call", valkey_url) == (-signal.SIGTERM, "")
    assert await counted(valkey) == {"task %s": 1}


async def test_sigterm_while_redis_is_away() -> None:
    """The process ends when the time for draining is over."""
    assert (await end_of("sigterm", "redis://127.0.0.1:1"))[0] == -signal.SIGTERM


async def test_a_program_with_a_handler_of_its_own(valkey_url: str, valkey: Redis) -> None:
    """Its handler stays, and what was logged is written when the program exits."""
    assert await end_of("own_handler", valkey_url) == (7, "")
    assert await counted(valkey) == {"task %s": 1}


async def test_a_program_that_puts_the_default_back(valkey_url: str, valkey: Redis) -> None:
    """Calls after that don't replace the default action again."""
    assert await end_of("default_again", valkey_url) == (-signal.SIGTERM, "")


async def test_a_pool_that_is_terminated(valkey_url: str, valkey: Redis) -> None:
    """Its workers write what they logged before they end."""
    assert await end_of("pool", valkey_url) == (0, "")
    assert await counted(valkey) == {"task %s": 500}


CELERY = {
    "prefork": ("--pool", "prefork", "--concurrency", "2"),
    "prefork, a few tasks each": (
        *("--pool", "prefork", "--concurrency", "2"),
        *("--max-tasks-per-child", "7"),
    ),
    "threads": ("--pool", "threads", "--concurrency", "2"),
    "solo": ("--pool", "solo"),
}


@pytest.mark.parametrize("pool", CELERY)
async def test_celery(valkey_url: str, valkey: Redis, tmp_path: Path, pool: str) -> None:
    """Every record of a task is counted, without any configuration."""
    environment = {
        "LOG_URL": valkey_url,
        "BROKER_URL": f"redis+socket://{valkey_url.removeprefix('unix://')}?virtual_host=1",
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
    }
    tasks = 60
    await run_celery(environment, tmp_path, pool, tasks)
    assert await counted(valkey) == {"task %s": tasks}


async def run_celery(environment: dict[str, str], directory: Path, pool: str, tasks: int) -> None:
    """Run a worker until its tasks are done, then end it with SIGTERM."""
    environment = {**os.environ, **environment}
    command = (
        PYTHON,
        "-c",
        f"from support.celery_app import work\nfor n in range({tasks}): work.delay(n)",
    )
    sending = await asyncio.create_subprocess_exec(*command, env=environment)
    assert await asyncio.wait_for(sending.wait(), 60) == 0

    log = directory / "celery.log"
    with log.open("wb") as output:
        worker = await asyncio.create_subprocess_exec(
            *(PYTHON, "-m", "celery", "-A", "support.celery_app", "worker", "-l", "info"),
            *(*CELERY[pool], "--without-gossip", "--without-mingle", "--without-heartbeat"),
            stdout=output,
            stderr=output,
            cwd=directory,
            env=environment,
        )

    try:
        await until(lambda: log.read_text().count(" succeeded in ") == tasks)
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), 60) == 0, log.read_text()
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
