"""A client in a thread of its own: when the thread starts, and how it ends with the program."""

import asyncio
import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.background import BackgroundLog, log_for
from logcommon.runtime import ending, keeper
from logcommon.server.embedded import EmbeddedServer
from support.fork import in_child
from support.layout import read_counts, total
from support.unmeasured import unmeasured
from support.until import until

TESTS = Path(__file__).parent
ONE_RUN = Counter(f"message {number % 7} of %s" for number in range(2000))


def threads() -> list[threading.Thread]:
    """Return the threads that write."""
    return [thread for thread in threading.enumerate() if thread.name == "logcommon"]


async def counted(valkey: Redis) -> Counter[str]:
    """Return the counts in Redis, of all hours together."""
    return sum((await read_counts(valkey)).values(), Counter())


@pytest.fixture(autouse=True)
async def not_in_a_hurry() -> None:
    """Wait until it no longer matters that an earlier test has stopped a server in this process."""
    await until(lambda: not ending.must_write_at_once())


@pytest.fixture
def log(valkey_url: str) -> Iterator[BackgroundLog]:
    """A background client that writes only when it has to; closed at the end."""
    log = BackgroundLog(valkey_url, {"linger": 3600, "drain_timeout": 60})
    yield log
    log.close()
    assert not threads()


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

    callers = [threading.Thread(target=call) for _ in range(4)]
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


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="logcommon-") as directory:
        yield Path(directory)


def refuse(*_: object) -> None:
    raise RuntimeError("can't start new thread")


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


async def test_a_client_is_left_to_its_owner(valkey_url: str) -> None:
    """A client is used as it is, without further settings; a URL becomes a background client."""
    client = logcommon.connect(valkey_url)
    assert log_for(client, {}) is client
    with pytest.raises(logcommon.InvalidArgumentError, match="give linger, spool there"):
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
