"""A process that forks: the child is a producer of its own, and the parent is left alone."""

import asyncio
import os

import pytest

import logcommon
from support.fork import in_child
from support.layout import total

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")


def log_in_child(log: logcommon.CommonLog, messages: int) -> None:
    """Open a client in a forked child and write with it."""
    assert log.stats.calls == 0, "the child has what its parent logged"
    asyncio.events._set_running_loop(None)

    async def write() -> None:
        async with log:
            for _ in range(messages):
                log.log_common_nowait("api", "child")
        assert log.stats.counted == messages

    asyncio.run(write())


async def test_a_fork_of_an_open_client(valkey_url: str, valkey: object) -> None:
    """The child neither flushes the parent's entries nor speaks on its connection."""
    async with logcommon.connect(valkey_url, linger=3600) as log:
        await log.log_common("api", "parent")
        for _ in range(10):
            log.log_common_nowait("api", "parent")
        assert in_child(lambda: log_in_child(log, 5)) == 0
        await log.log_common("api", "parent")
        assert (log.stats.counted, log.stats.connects, log.stats.failures) == (12, 1, 0)
    assert await total(valkey) == 12 + 5  # type: ignore[arg-type]


def test_a_client_made_before_the_fork(valkey_url: str) -> None:
    """A client that was made before the fork, as by a preloaded app, works in each worker."""
    log = logcommon.connect(valkey_url)
    log.log_common_nowait("api", "parent")
    for _ in range(3):
        assert in_child(lambda: log_in_child(log, 5)) == 0

    async def write() -> int:
        async with log:
            await log.flush()
            return (await log.top("api"))[0].count + (await log.top("api"))[1].count

    assert asyncio.run(write()) == 1 + 15


def test_a_fork_in_the_middle_of_a_fold(valkey_url: str) -> None:
    """A fold that another thread was publishing during the fork does not block the child."""
    log = logcommon.connect(valkey_url)
    log._buffer._pending._version.clear()
    assert in_child(lambda: log_in_child(log, 2000)) == 0


def test_a_method_that_was_kept_before_the_fork(valkey_url: str) -> None:
    """A bound `log_common_nowait` from before the fork still logs to the child's client."""
    log = logcommon.connect(valkey_url)
    kept = log.log_common_nowait

    def work() -> None:
        kept("api", "child")
        assert log.stats.calls == 1

    assert in_child(work) == 0
    assert log.stats.calls == 0
