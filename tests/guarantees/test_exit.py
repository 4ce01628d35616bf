"""Loops, processes and interpreters that end under an open client."""

import asyncio
import contextlib
import gc
import itertools
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.write import waiters, writer
from support import leaver
from support.inside import writer_of
from support.layout import read_counts, total
from support.lines import at_each_line
from support.until import until

TESTS = Path(__file__).parents[1]

_ANYIO = "anyio._backends._asyncio"
_LONG_ENOUGH = 20.0
"""Seconds after which a loop will surely not end by itself."""


@pytest.fixture
def abandoned(valkey_url: str) -> logcommon.CommonLog:
    """A client whose event loop was closed while a commit was in progress."""
    log = logcommon.connect(valkey_url, linger=0)

    async def enter() -> None:
        await log.__aenter__()
        await log.log_common("api", "m")
        log.log_common_nowait("api", "m")
        while not writer_of(log)._backlog:  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(enter())
    loop.close()
    return log


def test_a_client_whose_loop_was_closed_is_closed(abandoned: logcommon.CommonLog) -> None:
    """After its loop was closed, every method that would wait raises, and so does closing."""
    calls: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (
        lambda: abandoned.flush(),
        lambda: abandoned.log_common("api", "m"),
        lambda: abandoned.__aexit__(None, None, None),
    )
    for call in calls:
        with pytest.raises(logcommon.ClientClosedError):
            asyncio.run(asyncio.wait_for(call(), 10))


def test_a_client_whose_loop_was_closed_can_be_entered(
    abandoned: logcommon.CommonLog, valkey_url: str
) -> None:
    """Opened again, a client writes what was left, and the old session does not interfere."""

    async def use() -> None:
        async with abandoned as log, Redis.from_url(valkey_url) as valkey:
            gc.collect()
            await log.log_common("api", "m")
            assert log.stats.counted == await total(valkey) == 3

    asyncio.run(use())
    assert abandoned.stats.pending == 0


def test_a_call_after_the_loop_was_closed(valkey_url: str) -> None:
    """A call is accepted even if the loop of the writer it would wake is gone."""
    log = logcommon.connect(valkey_url)

    async def enter() -> None:
        await log.__aenter__()
        await until(lambda: bool(log._buffer._wake_requests))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(enter())
    loop.close()
    log.log_common_nowait("api", "m")
    assert (log.stats.calls, log.stats.pending) == (1, 1)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_at_each_line_of_the_writer(valkey_url: str, kind: type[BaseException]) -> None:
    """A signal handler that raises in our task ends the program, without loss."""
    log = logcommon.connect(valkey_url, linger=3600)
    for moment in itertools.count():
        if not exits_at(moment, log, kind):
            break
        stats = log.stats
        assert (stats.counted, stats.pending, stats.dropped) == (moment + 1, 0, 0)
    assert moment > 40


def exits_at(moment: int, log: logcommon.CommonLog, kind: type[BaseException]) -> bool:
    """Raise `kind` at the given line of the writer's first step after a call, if there is one."""
    lines, raised, is_stuck = itertools.count(), threading.Event(), threading.Event()
    is_next = False

    def free() -> None:
        is_stuck.set()
        raise SystemExit

    async def use() -> None:
        nonlocal is_next
        asyncio.get_running_loop().call_later(_LONG_ENOUGH, free)
        async with log:
            await log.flush()
            log.log_common_nowait("api", "m")
            is_next = True
            for _ in range(10):  # more than enough for the writer to begin to wait
                await asyncio.sleep(0)
            is_next = False
            if raised.is_set():
                await asyncio.Event().wait()

    def act(_: int) -> None:
        task = is_next and asyncio.current_task()
        if task and task.get_name() == "logcommon" and next(lines) == moment:
            raised.set()
            raise kind

    with contextlib.suppress(kind):
        at_each_line(lambda: asyncio.run(use()), act, writer.__name__, waiters.__name__, _ANYIO)
    assert not is_stuck.is_set()
    return raised.is_set()


SIGNALS = {
    "sigterm_cancels": signal.SIGTERM,
    "sigterm_cancels_all": signal.SIGTERM,
    "sigterm_exits": signal.SIGTERM,
    "sigint": signal.SIGINT,
}


async def start_leaver(way: str, url: str) -> asyncio.subprocess.Process:
    """Start a program that ends in the given way, with warnings as errors."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", leaver.__file__, way, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join([str(TESTS), *sys.path])},
    )


DROPPED = "what is logged is dropped"
"""What a warning says."""


async def end_of(process: asyncio.subprocess.Process, warning: str = "") -> str:
    """Return what a program printed, once it has ended without errors."""
    output, complaints = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert len(complaints.splitlines()) == bool(warning)
    assert warning in complaints.decode()
    return output.decode()


@pytest.mark.parametrize("way", SIGNALS)
async def test_a_signal_drains(valkey_url: str, valkey: Redis, way: str) -> None:
    """However a program handles the signal that ends it, Redis has every call afterwards."""
    process = await start_leaver(way, valkey_url)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.send_signal(SIGNALS[way])
    report = json.loads(await end_of(process))
    assert report["stats"]["counted"] == report["stats"]["calls"] > 0
    assert sum((await read_counts(valkey)).values(), Counter()) == report["logged"]


@pytest.mark.parametrize("way", ["never_closed", "calls_at_exit"])
async def test_what_is_logged_around_the_end_of_the_loop(
    valkey_url: str, valkey: Redis, way: str
) -> None:
    """Calls made before the loop ends are drained; later ones are dropped, with a warning."""
    warning = DROPPED if way == "calls_at_exit" else ""
    report = json.loads(await end_of(await start_leaver(way, valkey_url), warning))
    stats = report["stats"]
    assert (stats["counted"], stats["pending"]) == (2000, 0)
    assert stats["dropped"] == stats["dropped_closed"] == (2000 if way == "calls_at_exit" else 0)
    assert await total(valkey) == 2000


@pytest.mark.parametrize(
    "way", ["loop_left", "loop_closed", "loop_in_a_thread", "threads_call", "finalizers_call"]
)
async def test_an_interpreter_that_exits_in_the_middle(valkey_url: str, way: str) -> None:
    """Open clients, calling threads and finalizers don't delay the exit; drops are reported."""
    warning = DROPPED if way == "threads_call" else ""
    assert await end_of(await start_leaver(way, valkey_url), warning) == ""
