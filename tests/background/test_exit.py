"""However a program with a background client ends, what it logged is written."""

import asyncio
import json
import multiprocessing
import os
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from logcommon.background import BackgroundLog
from logcommon.runtime import ending
from logcommon.server.embedded import EmbeddedServer
from support.background import counted, threads
from support.layout import total

TESTS = Path(__file__).parents[1]
ONE_RUN = Counter(f"message {number % 7} of %s" for number in range(2000))


async def run_program(
    way: str, target: str, **settings: float | str
) -> tuple[int, dict[str, int], str]:
    """Run a program to its end; return its exit code, what became of its calls, and its stderr."""
    # A child's own fork beside our thread is what is tried here.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning"),
        *(TESTS / "support" / "logs_and_ends.py", way, target, json.dumps(settings)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )

    output, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, json.loads(output), complaints.decode()


WAYS = {
    "at_once": (0, 1),
    "sys_exit": (7, 1),
    "sigterm": (7, 1),
    "thread_goes_on": (0, 2),
    "thread_is_first": (0, 1),
    "exit_handlers": (0, 3),
    "exit_handler_is_first": (0, 1),
}
"""Ways for a program to end, its exit code, and how often it has logged its messages."""


@pytest.mark.parametrize("way", WAYS)
async def test_a_program_without_a_loop(valkey_url: str, valkey: Redis, way: str) -> None:
    """However it ends, all that it logged until `logging` was shut down is in Redis."""
    code, runs = WAYS[way]
    done, numbers, complaints = await run_program(way, valkey_url)
    assert (done, complaints) == (code, "")
    assert numbers["calls"] == numbers["counted"] == runs * 2000
    assert await counted(valkey) == Counter({text: runs * ONE_RUN[text] for text in ONE_RUN})
    assert not await valkey.keys("logcommon:producer:*")


async def test_a_program_that_raises(valkey_url: str, valkey: Redis) -> None:
    """It ends with its own traceback and nothing else on stderr."""
    code, numbers, complaints = await run_program("raises", valkey_url)
    assert code == 1
    assert complaints.count("Traceback") == 1
    assert complaints.endswith("ValueError: unexpected\n")
    assert numbers["counted"] == 2000
    assert await counted(valkey) == ONE_RUN


@pytest.mark.parametrize(
    ("way", "runs"), [("after_the_shutdown", 1), ("after_the_shutdown_only", 0)]
)
async def test_what_comes_after_the_shutdown(
    valkey_url: str, valkey: Redis, way: str, runs: int
) -> None:
    """Calls after `logging` has closed its handlers are written at once."""
    code, numbers, complaints = await run_program(way, valkey_url)
    assert (code, complaints) == (0, "")
    assert (numbers["counted"], numbers["pending"]) == (runs * 2000 + 50, 0)
    assert (await counted(valkey)).total() == runs * 2000 + 50


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize("way", ["sys_exit", "exit_handler_is_first"])
async def test_a_program_whose_redis_is_away(way: str, answers: bool) -> None:
    """It ends after `drain_timeout` with its own exit code, and prints nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if answers else 1
        url = f"redis://127.0.0.1:{port}/0"
        code, numbers, complaints = await run_program(way, url, drain_timeout=0.2)
    assert (code, complaints) == (WAYS[way][0], "")
    assert numbers["calls"] == numbers["dropped_unwritten"] == 2000


@pytest.mark.parametrize("way", ["exit_handlers", "exit_handler_is_first"])
async def test_a_spool_at_the_exit(
    valkey_url: str, valkey: Redis, tmp_path: Path, way: str
) -> None:
    """If Redis can't be reached, entries stay in the spool, and the next program writes them."""
    spool = str(tmp_path / "spool")
    away = await run_program(way, "redis://127.0.0.1:1", drain_timeout=0.2, spool=spool)
    calls = WAYS[way][1] * 2000
    assert (away[0], away[2]) == (0, "")
    assert away[1]["spooled"] == calls
    back = await run_program(way, valkey_url, spool=spool)
    assert (back[0], back[2]) == (0, "")
    assert (await counted(valkey)).total() == 2 * calls


@pytest.mark.parametrize(
    "way", ["at_once", "exit_handlers", "exit_handler_is_first", "thread_goes_on"]
)
async def test_an_embedded_server_at_the_exit(short_path: Path, way: str) -> None:
    """When the program has ended, the server has all entries and is stopped."""
    code, numbers, complaints = await run_program(way, f"embedded:{short_path}")
    assert (code, complaints) == (0, "")
    assert numbers["counted"] == numbers["calls"] == WAYS[way][1] * 2000
    with socket.socket(socket.AF_UNIX) as connection, pytest.raises(OSError, match=r"."):
        connection.connect(str(short_path / "server.sock"))
    with EmbeddedServer(short_path) as server:
        async with Redis.from_url(server.url) as client:
            assert (await counted(client)).total() == WAYS[way][1] * 2000


async def test_a_program_that_forks(valkey_url: str, valkey: Redis) -> None:
    """The child and the parent each write what they logged before they end."""
    code, numbers, complaints = await run_program("forks", valkey_url)
    assert (code, complaints) == (0, "")
    assert numbers["calls"] == numbers["counted"] == 2000
    assert (await counted(valkey)).total() == 4000


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
async def test_children_of_multiprocessing(valkey_url: str, valkey: Redis, method: str) -> None:
    """Children skip Python's exit handlers, and still write what they logged."""
    code, numbers, complaints = await run_program(f"children_{method}", valkey_url)
    assert (code, complaints) == (0, "")
    assert numbers["calls"] == numbers["counted"] == 2000
    assert (await counted(valkey)).total() == 2000 * 4
    assert not await valkey.keys("logcommon:producer:*")


async def test_a_call_while_the_process_is_ending(
    log: BackgroundLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It returns when Redis has the entry, and leaves no thread: nothing may run after it."""
    monkeypatch.setattr(ending, "must_write_at_once", lambda: True)
    for calls in (1, 2):
        log.log_common_nowait("api", "m")
        assert (await total(valkey), threads()) == (calls, [])


def test_calls_while_the_process_is_ending_and_redis_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the first call waits for Redis; the others would delay the end of the process."""
    monkeypatch.setattr(ending, "must_write_at_once", lambda: True)
    log = BackgroundLog("redis://127.0.0.1:1", {"drain_timeout": 0.01})
    waits: list[float] = []
    close = log._keepers.close

    def noted(timeout: float) -> None:
        waits.append(timeout)
        close(timeout)

    monkeypatch.setattr(log._keepers, "close", noted)
    for _ in range(3):
        log.log_common_nowait("api", "m")

    assert log.stats.dropped_unwritten == 3
    assert waits[0] == 0.01
    assert set(waits[1:]) == {0.0}
    assert not threads()
