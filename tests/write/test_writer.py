"""When the writer commits, and how it ends; time is the event loop's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fakeredis import FakeServer

from logcommon.exceptions import ClientClosedError, NotWrittenError
from logcommon.settings import Settings
from logcommon.stats import Ledger
from logcommon.write import writer
from logcommon.write.buffer import Buffer
from logcommon.write.pace import Pace
from logcommon.write.writer import Writer
from support.clock import HandClock
from support.network import Network
from support.until import until
from support.writing import run


class Writing:
    """A writer that runs, its buffer, and the network before its server."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**{"max_clock_lead": float("inf"), **settings})
        self.network = Network(FakeServer())
        self.ledger = Ledger()
        self.buffer = Buffer(self.settings)
        self.writer = Writer(self.buffer, self.ledger, self.settings)

    def put(self, message: str = "m") -> None:
        self.buffer.put("api", message, "info")

    async def commits(self, number: int) -> float:
        """Wait for so many commits; return the time at which that is so."""
        await until(lambda: self.ledger.commits >= number)
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def writing(**settings: Any) -> AsyncIterator[Writing]:
    """Run a writer in the block, and close it after that."""
    started = Writing(**settings)
    task = asyncio.create_task(started.writer.run(started.network.client()))
    try:
        yield started
    finally:
        started.writer.close(started.settings.drain_timeout)
        await asyncio.wait([task])


def test_the_first_entry_is_written_at_once_and_the_next_after_the_linger() -> None:
    """An idle writer does not wait; a second commit starts `linger` after the first."""

    async def body() -> None:
        async with writing(linger=10) as started:
            started.put()
            first = await started.commits(1)
            started.put()
            started.put()
            assert 9 < await started.commits(2) - first < 11
            assert started.ledger.counted == 3

    run(body())


def test_the_first_commit_of_an_hour_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """By up to five lingers, unless a call waits for it."""
    clock = HandClock()

    def pace(linger: float, longest: float) -> Pace:
        return Pace(linger, longest, clock, lambda: 0.8)

    monkeypatch.setattr(writer, "Pace", pace)

    async def body() -> None:
        async with writing(linger=2) as started:
            started.put()
            first = await started.commits(1)
            clock.turn()
            started.put()
            second = await started.commits(2)
            assert 9 < second - first < 11
            clock.turn()
            started.put()
            await started.writer.flush()
            assert asyncio.get_running_loop().time() - second < 1

    run(body())


def test_slow_commits_make_the_linger_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer says to its pace how long each commit took, with all attempts."""
    learned: list[float] = []

    class Learning(Pace):
        def committed(self, seconds: float) -> None:
            learned.append(seconds)

    monkeypatch.setattr(writer, "Pace", Learning)

    async def body() -> None:
        async with writing(linger=10) as started:
            started.put()
            await started.commits(1)
            started.network.faults.extend(["slow", "cut before"])
            started.put()
            await started.commits(2)
            started.put()
            await started.commits(3)
        fast, slow, cut = learned
        assert slow > fast + 0.8
        assert cut > 0.02

    run(body())


def test_a_call_that_waits_does_not_wait_for_the_linger() -> None:
    """`flush` starts a commit at once, and returns when Redis has everything put before."""

    async def body() -> None:
        async with writing(linger=3600) as started:
            started.put()
            first = await started.commits(1)
            started.put()
            await started.writer.flush()
            assert started.ledger.counted == 2
            assert asyncio.get_running_loop().time() - first < 10

    run(body())


def test_a_half_full_buffer_does_not_wait_for_the_linger() -> None:
    """Many distinct messages start a commit before their room is used up."""

    async def body() -> None:
        async with writing(linger=3600, max_pending=1000) as started:
            started.put()
            first = await started.commits(1)
            for number in range(600):
                started.put(str(number))
            assert await started.commits(2) - first < 10
            assert started.ledger.other == 0

    run(body())


def test_a_close_writes_what_is_pending() -> None:
    """Nothing is left behind, and later calls raise or are dropped."""

    async def body() -> None:
        async with writing(linger=3600) as started:
            started.put()
            await started.commits(1)
            for _ in range(5):
                started.put()
        assert started.ledger.counted == 6
        assert started.buffer.is_closed
        with pytest.raises(ClientClosedError):
            await started.writer.flush()

    run(body())


def test_a_close_gives_up_at_its_deadline() -> None:
    """What Redis never got is counted as unwritten, and whoever waits for it learns that."""

    async def body() -> None:
        async with writing(drain_timeout=3) as started:
            started.network.end(None)
            started.put()
            flushing = asyncio.create_task(started.writer.flush())
            await until(lambda: started.ledger.lost_connections > 0)
        assert started.ledger.dropped_unwritten == 1
        with pytest.raises(NotWrittenError):
            await flushing

    run(body())


def test_an_unexpected_error_restarts_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, and everything is written all the same."""
    write_pending = Writer._write_pending
    failures = [RuntimeError("unexpected")]

    async def failing(self: Writer, *arguments: Any, **options: Any) -> None:
        if failures:
            raise failures.pop()
        await write_pending(self, *arguments, **options)

    monkeypatch.setattr(Writer, "_write_pending", failing)

    async def body() -> None:
        async with writing() as started:
            started.put()
            await started.commits(1)
            assert (started.ledger.restarts, started.ledger.counted) == (1, 1)

    run(body())


@pytest.mark.parametrize("closes", [True, False])
def test_a_cancelled_writer_is_missed_if_its_client_stays_open(
    closes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelling all tasks at the end of a loop is no fault, unless nobody closes the client."""

    async def body() -> None:
        started = Writing()
        task = asyncio.create_task(started.writer.run(started.network.client()))
        started.put()
        await started.commits(1)
        task.cancel()
        await asyncio.wait([task])
        if closes:
            started.writer.close(1)
        await asyncio.sleep(10)  # in the loop's own time

    run(body())
    warned = any("the client is still open" in message for message in caplog.messages)
    assert warned == (not closes)
