"""A background client whose thread can't start, or whose calls are interrupted."""

import asyncio
import gc
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from redis.asyncio import Redis

from logcommon.background import BackgroundLog
from logcommon.runtime import ending, keeper
from support.background import counted, refuse, threads
from support.layout import total
from support.unmeasured import unmeasured
from support.until import until


async def test_no_thread_is_to_be_had(
    log: BackgroundLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries wait until a later call can start a thread."""
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            log.log_common_nowait("api", "m", "info")
        await until(lambda: not log.is_closing())
    assert (log.stats.pending, threads()) == (3, [])

    log.log_common_nowait("api", "m", "info")
    await until(lambda: log._log.is_open)
    log.close()
    assert await total(valkey) == log.stats.counted == 4


def test_no_thread_is_to_be_had_until_the_close(
    log: BackgroundLog, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`close` then writes in the caller's thread."""
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(3):
        log.log_common_nowait("api", "m", "info")
    log.close()
    assert (log.stats.counted, log.stats.pending) == (3, 0)

    async def written() -> int:
        async with Redis.from_url(valkey_url) as valkey:
            return await total(valkey)

    assert asyncio.run(written()) == 3


async def test_a_loop_is_not_to_be_had(
    log: BackgroundLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files: the call does not raise, and a later one tries again."""

    def fail() -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(keeper, "_Loop", fail)
        log.log_common_nowait("api", "m", "info")
    log.log_common_nowait("api", "m", "info")
    log.close()
    assert await total(valkey) == 2


def interrupt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise a signal while a thread is being started."""
    made = keeper._Loop

    def interrupted() -> asyncio.AbstractEventLoop:
        monkeypatch.setattr(keeper, "_Loop", made)
        signal.raise_signal(signal.SIGUSR1)
        return made()

    monkeypatch.setattr(keeper, "_Loop", interrupted)


async def test_a_signal_handler_logs_while_the_thread_is_started(
    log: BackgroundLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler's call does not wait for the call that it interrupts."""
    interrupt_once(monkeypatch)
    before = signal.signal(
        signal.SIGUSR1, lambda *_: log.log_common_nowait("api", "signal", "info")
    )

    try:
        log.log_common_nowait("api", "m", "info")
    finally:
        signal.signal(signal.SIGUSR1, before)

    log.close()
    assert log.stats.connects == 1
    assert await counted(valkey) == Counter(m=1, signal=1)


def test_a_signal_handler_closes_while_the_thread_is_started(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler's close does not wait for the call that it interrupts, and no thread is left."""
    log = BackgroundLog(valkey_url, {})
    interrupt_once(monkeypatch)
    before = signal.signal(signal.SIGUSR1, lambda *_: log.close())

    try:
        log.log_common_nowait("api", "m", "info")
    finally:
        signal.signal(signal.SIGUSR1, before)

    log.close()
    assert not threads()
    assert log.stats.pending == 0


def test_a_call_in_the_middle_of_a_close_is_not_forgotten(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another thread logs while a close ends is still written at the end of the process."""
    log, forget = BackgroundLog(valkey_url, {"linger": 3600}), ending.forget

    def overtaken(client: ending.ClosedAtExit) -> None:
        monkeypatch.setattr(ending, "forget", forget)
        log.log_common_nowait("api", "late")
        forget(client)

    log.log_common_nowait("api", "m")
    monkeypatch.setattr(ending, "forget", overtaken)
    log.close()
    ending.close_all()
    assert (log.stats.counted, threads()) == (2, [])


class Interrupted(BaseException):
    """Raised by a signal handler, like a time limit of a task queue."""


def interrupt_at(line: int) -> None:
    """Raise an exception just before the given line is executed, counted from now."""
    left = line

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if not left:
                sys.settrace(None)
                raise Interrupted
        return trace

    sys.settrace(trace)


@pytest.fixture
def left_over() -> Iterator[None]:
    """Collect the remains of event loops that were interrupted while they were made."""
    yield
    with warnings.catch_warnings(action="ignore"):  # as outside of tests, where it is no error
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("left_over")
async def test_an_exception_at_any_line_of_the_first_call(valkey_url: str, valkey: Redis) -> None:
    """If a signal handler raises at any line of a start, the next call still works."""
    traced, line, calls = sys.gettrace(), 0, 0
    log = BackgroundLog(valkey_url, {"linger": 3600})
    while True:
        line += 1
        try:
            interrupt_at(line)
            log.log_common_nowait("api", "m", "info")
            break
        except Interrupted:
            pass
        finally:
            sys.settrace(traced)

        log.log_common_nowait("api", "m", "info")
        assert any(each.is_available for each in log._keepers._known()), line
        log.close()
        calls = log.stats.calls
        assert log.stats.counted == calls >= line, line

    log.close()
    assert line > 50
    assert await total(valkey) == log.stats.counted == log.stats.calls == calls + 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("left_over")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no timers")
async def test_exceptions_at_any_time(valkey_url: str, valkey: Redis) -> None:
    """After a timer has raised many times, in calls and in flushes, the client still works."""
    log = BackgroundLog(valkey_url, {"linger": 3600})
    interruptions = 0

    def interrupt(*_: object) -> None:
        nonlocal interruptions
        interruptions += 1
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with unmeasured():
            for number in range(300):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-4 + number * 1e-5)
                    for _ in range(5):
                        log.log_common_nowait("api", "m", "info")
                    log.flush()
                    log.close()
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupted:
                    pass
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interruptions > 10
    log.flush()
    counted = log.stats.counted
    for _ in range(100):
        log.log_common_nowait("api", "m", "info")
    assert log.flush()
    assert log.stats.counted == counted + 100 == await total(valkey)
    log.close()
