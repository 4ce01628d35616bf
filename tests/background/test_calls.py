"""A client in a thread of its own: when the thread starts, what calls do, and forks."""

import gc
import sys
import threading
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.background import BackgroundLog, log_for
from logcommon.server.embedded import EmbeddedServer
from support.background import counted, refuse, threads
from support.fork import in_child
from support.layout import total
from support.until import until


async def test_the_first_call_starts_one_thread(log: BackgroundLog, valkey: Redis) -> None:
    """Making a client starts no thread; the first call starts one, and the second none."""
    assert not threads()
    log.log_common_nowait("api", "m", "info")
    log.log_common_nowait("api", "m", "info")
    await until(lambda: log._log.is_open)

    other = log._keepers.make()
    other.start()  # as by a caller in another thread who had found none
    other.join(10)
    assert not other.is_alive
    assert len(threads()) == 1

    log.close()
    assert (log.stats.calls, log.stats.counted, log.stats.connects) == (2, 2, 1)
    assert await total(valkey) == 2


async def test_fifty_threads_start_one(log: BackgroundLog, valkey: Redis) -> None:
    """Fifty threads that log at the same time start one thread, and nothing is lost."""
    together = threading.Barrier(50)

    def call() -> None:
        together.wait()
        for _ in range(100):
            log.log_common_nowait("api", "m", "info")

    callers = [threading.Thread(target=call) for _ in range(50)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(threads()) == 1
    log.close()
    assert (log.stats.calls, log.stats.counted, log.stats.connects) == (5000, 5000, 1)
    assert await total(valkey) == 5000


async def test_a_close_without_a_call(log: BackgroundLog, valkey: Redis) -> None:
    """There is no thread to end, and nothing is sent."""
    log.close()
    assert not threads()
    assert not await valkey.keys()


async def test_calls_after_the_close(log: BackgroundLog, valkey: Redis) -> None:
    """The first call after a close opens the client again, however often that happens."""
    for calls in (1, 2, 3):
        for _ in range(600):
            log.log_common_nowait("api", "m", "info")
        log.close()
        assert not threads()
        assert (log.stats.counted, log.stats.pending) == (calls * 600, 0)
    assert await total(valkey) == 1800
    assert not await valkey.keys("logcommon:producer:*")


async def test_a_call_at_the_same_time_as_the_close(log: BackgroundLog, valkey: Redis) -> None:
    """Threads that go on logging while the client is closed over and over lose nothing."""
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            log.log_common_nowait("api", "m", "info")

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for _ in range(20):
        log.close()
    done.set()
    for caller in callers:
        caller.join()
    log.close()
    stats = log.stats
    assert (stats.dropped, stats.pending) == (0, 0)
    assert await total(valkey) == stats.counted == stats.calls > 0


async def test_a_client_is_left_to_its_owner(valkey_url: str) -> None:
    """A client is used as it is, without further settings; a URL becomes a background client."""
    client = logcommon.connect(valkey_url)
    assert log_for(client, {}) is client
    with pytest.raises(logcommon.InvalidArgumentError, match="pass linger, spool where it is made"):
        log_for(client, {"linger": 1, "spool": "secret"})
    assert isinstance(log_for(valkey_url, {"linger": 1}), BackgroundLog)
    with pytest.raises(logcommon.InvalidArgumentError):
        log_for("localhost", {})


async def test_as_a_context_manager(valkey_url: str, valkey: Redis) -> None:
    """It is opened and closed like any client, and reads what it has written."""
    with logcommon.background(valkey_url, linger=3600) as log:
        log.log_common_nowait("api", "m")
        log.log_recent_nowait("api", "recent")

        assert log.flush()
        assert [(row.count, row.message) for row in log.top("api")] == [(1, "m")]
        assert [row.message for row in log.recent("api")] == ["recent", "m"]
        assert log.destinations() == [logcommon.Destination("api", "info")]
        assert len(log.hours("api")) == 1
        assert log.flush(0)
    assert not threads()
    assert await total(valkey) == 1


async def test_flush_while_redis_is_away() -> None:
    """It returns False when time runs out, and the entries are kept."""
    log = BackgroundLog("redis://127.0.0.1:1", {"drain_timeout": 0})
    log.log_common_nowait("api", "m")
    assert not log.flush(0.05)
    assert log.stats.pending == 1
    log.close()
    assert log.stats.dropped_unwritten == 1


def test_a_client_of_the_wrong_kind(valkey_url: str) -> None:
    """The errors for mixing up the two kinds of client name the one to use."""
    with pytest.raises(logcommon.InvalidArgumentError, match=r"use logcommon\.connect there"):
        logcommon.background(Redis())
    client = logcommon.connect(valkey_url)
    with pytest.raises(logcommon.SyncUseError, match=r"logcommon\.background"), client:
        pass


def test_it_is_shown_with_its_address() -> None:
    """A client that is printed says where it writes, and nothing that is secret."""
    log = BackgroundLog("redis://user:secret@host:1/0?password=secret", {})
    assert repr(log) == "<logcommon.BackgroundLog for redis://host:1/0>"


async def test_a_spool_that_another_has(
    valkey_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the client can't be opened, a warning says so; the call and the close don't raise."""
    async with logcommon.connect(valkey_url, spool=tmp_path / "spool"):
        log = BackgroundLog(valkey_url, {"spool": tmp_path / "spool"})
        log.log_common_nowait("api", "m", "info")
        await until(lambda: not threads())
        log.close()
    assert log.stats.pending == 1
    assert [text for text in caplog.messages if text.startswith("nothing is written: ")]


async def test_a_server_that_can_not_be_started_any_more(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some Pythons can't start a process at exit: that is a warning, not an error."""
    monkeypatch.setattr(EmbeddedServer, "start", refuse)
    log = BackgroundLog(f"embedded:{short_path}", {})
    log.log_common_nowait("api", "m", "info")
    log.close()
    assert log.stats.pending == 1
    assert caplog.messages == ["nothing is written: can't start new thread"]


# On Python 3.12 and later a fork beside threads is a warning.
forking = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@forking
async def test_a_fork_beside_the_thread(log: BackgroundLog, valkey: Redis) -> None:
    """The child starts a thread of its own, and does not write the parent's entries."""
    log.log_common_nowait("api", "parent", "info")
    await until(lambda: log.stats.counted == 1)
    log.log_common_nowait("api", "parent", "info")

    def work() -> None:
        assert (log.stats.calls, threads()) == (0, [])
        log.log_common_nowait("api", "child", "info")
        log.close()
        assert (log.stats.calls, log.stats.counted) == (1, 1)

    assert in_child(work) == 0
    assert await counted(valkey) == Counter(parent=1, child=1)
    log.log_common_nowait("api", "parent", "info")
    log.close()
    assert (log.stats.counted, log.stats.connects, log.stats.failures) == (3, 1, 0)
    assert await counted(valkey) == Counter(parent=3, child=1)


@forking
def test_a_fork_while_another_thread_is_starting(log: BackgroundLog, valkey_url: str) -> None:
    """A keeper that is active in the parent is not active in the child."""

    def work() -> None:
        log.log_common_nowait("api", "child", "info")
        log.close()
        assert log.stats.counted == 1

    starting = log._keepers.make()
    log._keepers._active["keeper"] = starting
    assert in_child(work) == 0
    del log._keepers._active["keeper"]
    starting.loop.close()


async def test_a_fork_before_the_loop_runs(log: BackgroundLog, valkey: Redis) -> None:
    """The child does not close the parent's event loop, whose selector the two share."""
    starting = log._keepers.make()
    log._keepers._started.add(starting)
    with warnings.catch_warnings(action="ignore"):  # as outside of tests, where it is no error
        assert in_child(gc.collect) == 0

    starting.start()
    log.log_common_nowait("api", "parent", "info")
    assert log.flush()  # from now on nothing but the close wakes the loop
    log.close()
    assert not threads()
    assert (log.stats.connects, await total(valkey)) == (1, 1)


async def test_recent_entries_are_written_by_the_same_thread(
    log: BackgroundLog, valkey: Redis
) -> None:
    """Once there is a thread, an entry for the recent log alone starts no other."""
    log.log_recent_nowait("api", "first")
    await until(lambda: log._is_fast)
    (thread,) = threads()
    log.log_recent_nowait("api", "second")
    assert threads() == [thread]

    log.close()
    assert [entry.split()[-1] for entry in await valkey.lrange("recent:api:info", 0, -1)] == [
        b"second",
        b"first",
    ]


async def test_a_close_without_threads(
    log: BackgroundLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no thread can be started, as when the interpreter exits, the close writes in its own."""
    monkeypatch.setattr("logcommon.runtime.keeper._thread.start_new_thread", refuse)
    log.log_common_nowait("api", "m")
    log.close()
    assert (log.stats.counted, await total(valkey)) == (1, 1)


async def test_a_close_that_runs_out_of_time_leaves_its_thread(log: BackgroundLog) -> None:
    """A thread that has not ended by the deadline is remembered, and can be waited for again."""
    log.log_common_nowait("api", "m")
    await until(lambda: log._log.is_open)
    log._keepers.join(0)
    assert log.is_closing()


async def test_a_flush_while_another_thread_closes_the_client(
    log: BackgroundLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the next opening, and returns when Redis has what was logged before."""
    ask, closes = log._call_in_thread, [1]

    def interrupted(*arguments: Any) -> Any:
        if closes:
            closes.clear()
            raise logcommon.NotWrittenError("closed")
        return ask(*arguments)

    monkeypatch.setattr(log, "_call_in_thread", interrupted)
    log.log_common_nowait("api", "m")
    assert log.flush()
    assert await total(valkey) == 1


def test_reading_with_a_client_that_cannot_be_opened(
    log: BackgroundLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a thread there is nobody to ask, and the error says where the reason is."""
    monkeypatch.setattr(log, "_require_keeper", lambda: None)
    with pytest.raises(logcommon.ClientClosedError, match="the logger `logcommon` says why"):
        log.top("api")
