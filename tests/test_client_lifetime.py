"""Opening, closing and reopening a client, and what it takes as a server."""

import asyncio
import logging
import tempfile
from pathlib import Path

import anyio
import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

import logcommon
from logcommon import ClientClosedError, InvalidArgumentError, NotWrittenError, SpoolError
from support.embedded import is_alive
from support.layout import total


async def test_an_existing_client_stays_open(fake: FakeAsyncRedis) -> None:
    """The application's own Redis client can be used, and is not closed with ours."""
    async with logcommon.connect(fake) as log:
        await log.log_common("api", "m")
    assert await total(fake) == 1


def test_calls_before_the_loop_runs_are_written(valkey_url: str) -> None:
    """What is logged before there is an event loop is written once the client is open."""
    log = logcommon.connect(valkey_url)
    log.log_common_nowait("api", "early")

    async def enter() -> None:
        async with log:
            await log.flush()

    asyncio.run(enter())
    assert log.stats.counted == 1


async def test_the_close_drains(valkey_url: str, valkey: Redis) -> None:
    """What is pending when the client closes is in Redis afterwards, and no marker is left."""
    async with logcommon.connect(valkey_url, linger=3600) as log:
        await log.flush()
        for number in range(5000):
            log.log_common_nowait("api", str(number))
    assert await total(valkey) == 5000
    assert not await valkey.keys("logcommon:producer:*")


async def test_a_cancelled_block_drains(valkey_url: str, valkey: Redis) -> None:
    """If the block is cancelled, by asyncio or anyio, the client still writes what is pending."""

    async def work(entered: asyncio.Event) -> None:
        async with logcommon.connect(valkey_url, linger=3600) as log:
            await log.flush()
            log.log_common_nowait("api", "m")
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    task = asyncio.create_task(work(entered))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with anyio.CancelScope() as scope:
        async with logcommon.connect(valkey_url, linger=3600) as log:
            await log.flush()
            log.log_common_nowait("api", "m")
            scope.cancel()
            await asyncio.Event().wait()
    assert await total(valkey) == 2


def test_a_loop_that_ends_without_a_close_drains(valkey_url: str) -> None:
    """A client that nobody closes writes what is pending when `asyncio.run` ends."""

    async def forget() -> logcommon.CommonLog:
        log = logcommon.connect(valkey_url, linger=3600)
        await log.__aenter__()
        await log.flush()
        log.log_common_nowait("api", "m")
        return log

    log = asyncio.run(forget())
    assert (log.stats.counted, log.stats.pending) == (1, 0)


async def test_entered_in_one_task_and_closed_in_another(valkey_url: str, valkey: Redis) -> None:
    """A client may be opened in one task and closed in another, as frameworks do."""
    log = logcommon.connect(valkey_url)
    await asyncio.create_task(log.__aenter__())
    log.log_common_nowait("api", "m")
    await asyncio.create_task(log.__aexit__(None, None, None))
    assert await total(valkey) == 1


async def test_what_could_not_be_written_is_reported(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """After the deadline a warning says how much is lost, without a message or a password."""
    url = f"redis://user:hunter2@127.0.0.1:{unused_tcp_port}"
    with caplog.at_level(logging.WARNING, logger="logcommon"):
        async with logcommon.connect(url, drain_timeout=0.05) as log:
            for _ in range(7):
                log.log_common_nowait("api", "secret message")
            waiting = asyncio.create_task(log.log_common("api", "secret message"))
            await asyncio.sleep(0)

    with pytest.raises(NotWrittenError, match="closed"):
        await waiting
    assert (log.stats.dropped_unwritten, log.stats.pending, log.stats.in_doubt) == (8, 0, 0)
    assert "8 entries unwritten" in caplog.messages[-1]
    for text in (*caplog.messages, str(log.stats)):
        assert "secret" not in text
        assert "hunter2" not in text


async def test_after_the_close(valkey_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A call after the close is counted as dropped, with one warning; calls that wait raise."""
    async with logcommon.connect(valkey_url) as log:
        log.log_common_nowait("api", "in time")
    assert caplog.messages == []

    log.log_common_nowait("api", "late")
    log.log_common_nowait("api", "later")
    (text,) = caplog.messages
    assert "what is logged is dropped" in text
    assert (log.stats.dropped_closed, log.stats.pending) == (2, 0)

    for call in (
        log.log_common("api", "m"),
        log.log_recent("api", "m"),
        log.flush(),
        log.top("api"),
        log.recent("api"),
        log.destinations(),
        log.hours("api"),
    ):
        with pytest.raises(ClientClosedError):
            await call


@pytest.mark.parametrize(
    "target",
    [
        "localhost",
        "http://user:hunter2@localhost",
        "redis://localhost:port",
        "redis://user:hunter2@localhost?no_such_option=1",
        "redis://user:hunter2@localhost?protocol=9",
        "",
        42,
    ],
)
def test_a_target_that_cannot_be_used(target: str) -> None:
    """A wrong URL gets an error at once, without the URL in it."""
    with pytest.raises(InvalidArgumentError) as caught:
        logcommon.connect(target)
    assert "hunter2" not in str(caught.value)


async def test_an_embedded_server_of_ones_own() -> None:
    """With `embedded:DIRECTORY` the client starts a server, which keeps its data between uses."""
    with tempfile.TemporaryDirectory(prefix="lc-") as directory:
        for times in (1, 2):
            async with logcommon.connect(f"embedded:{directory}") as log:
                await log.log_common("api", "m")
                (row,) = await log.top("api")
                assert row.count == times


async def test_a_spool_that_cannot_be_used_leaves_no_server(tmp_path: Path) -> None:
    """The embedded server that was started before the spool was opened is stopped again."""
    with tempfile.TemporaryDirectory(prefix="lc-") as directory:
        log = logcommon.connect(f"embedded:{directory}", spool=tmp_path)
        with pytest.raises(SpoolError):
            await log.__aenter__()
        assert not is_alive(Path(directory))


async def test_a_client_can_be_entered_again(valkey_url: str, valkey: Redis) -> None:
    """A closed client can be opened again and goes on counting; an open one can't be opened."""
    log = logcommon.connect(valkey_url)
    for number in range(1, 4):
        async with log:
            await log.log_common("api", "m")
            assert log.stats.counted == number
            with pytest.raises(ClientClosedError, match="open already"):
                await log.__aenter__()
        log.log_common_nowait("api", "between")

    assert (log.stats.dropped_closed, log.stats.pending) == (3, 0)
    assert await total(valkey) == 3


def test_one_client_in_two_event_loops(valkey_url: str) -> None:
    """Two runs of `asyncio.run` can use one client, even if the first did not close it."""
    log = logcommon.connect(valkey_url)

    async def use(*, close: bool) -> None:
        await log.__aenter__()
        await log.log_common("api", "m")
        log.log_common_nowait("api", "m")
        if close:
            await log.__aexit__(None, None, None)

    asyncio.run(use(close=False))
    asyncio.run(use(close=True))
    assert (log.stats.counted, log.stats.pending) == (4, 0)


async def test_it_is_shown_with_its_address_and_state(valkey_url: str) -> None:
    """A client that is printed says where it writes and whether it is open, without a password."""
    log = logcommon.connect(f"{valkey_url}?password=")
    assert repr(log) == f"<logcommon.CommonLog for {valkey_url}, closed>"
    async with log:
        assert repr(log) == f"<logcommon.CommonLog for {valkey_url}, open>"
    assert repr(log) == f"<logcommon.CommonLog for {valkey_url}, closed>"
