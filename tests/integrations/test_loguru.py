"""The sink for loguru."""

import asyncio
import inspect
import io
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger
from redis.asyncio import Redis

import logcommon
from logcommon.integrations import loguru as integration
from logcommon.integrations.loguru import CommonLogSink
from support.fork import in_child
from support.layout import read_counts
from support.programs import run

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture(autouse=True)
def bare() -> Iterator[None]:
    """Loguru's one logger, without sinks before and after."""
    logger.remove()
    yield
    logger.remove()
    logger.configure(patcher=lambda _record: None, extra={})


@pytest.fixture
def sink(valkey_url: str) -> CommonLogSink:
    """A sink that has been added, and that raises what it raises."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False)
    return sink


async def counted(valkey: Redis, severity: str = "info", name: str = "shop") -> Counter[str]:
    """Return what is counted under a name, in all hours together."""
    return sum((await read_counts(valkey, name, severity)).values(), Counter())


def stats_of(sink: CommonLogSink) -> tuple[int, int, int]:
    """Return, at its end, how many records a sink has had, counted and ignored."""
    logger.remove()
    stats = sink.stats
    assert (stats.pending, stats.dropped) == (0, 0)
    return stats.calls, stats.counted, sink.ignored


def fail() -> None:
    raise ValueError("of this time")


PLACE = f"ValueError at {__name__.replace('.', '/')}.py:{fail.__code__.co_firstlineno + 1}"
"""What an exception that `fail` raised is counted as."""


async def test_arguments_are_no_part_of_the_message(sink: CommonLogSink, valkey: Redis) -> None:
    """Records of one call are one message whatever its arguments are, each counted once."""
    for number in range(1000):
        logger.info("user {} is over the limit", number)
        logger.info("user {user} of {}", "shop", user=number)
        logger.info("over the limit", user=number)
    assert stats_of(sink) == (3000, 3000, 0)
    assert await counted(valkey) == {
        "user {} is over the limit": 1000,
        "user {user} of {}": 1000,
        "over the limit": 1000,
    }


def wrapped(message: str, *arguments: object) -> None:
    logger.opt(depth=1).info(message, *arguments)


async def test_options_of_a_call(sink: CommonLogSink, valkey: Redis) -> None:
    """Whichever options a call has, the message has its arguments not put in."""
    for number in (1, 2):
        logger.opt(lazy=True).info("lazy {}", lambda number=number: number)
        logger.opt(raw=True).info("raw {}\n", number)
        logger.opt(record=True).info("line {record[line]}")
        logger.opt(colors=True).info("<red>user {}</red>", number)
        logger.opt(colors=True).info("<red>plain</red>")
        logger.opt(capture=False).bind(a=number).info("bound {b}", b=number)
        logger.patch(lambda record: record.update(extra={})).info("patched {}", number)
        wrapped("wrapped {}", number)
        logger.info("{{}}")
    assert stats_of(sink) == (18, 18, 0)
    messages = ("lazy {}", "raw {}\n", "line {record[line]}", "<red>user {}</red>", "plain")
    messages += ("bound {b}", "patched {}", "wrapped {}", "{{}}")
    assert await counted(valkey) == dict.fromkeys(messages, 2)


async def test_a_message_that_is_no_text(sink: CommonLogSink, valkey: Redis) -> None:
    """Anything is counted as the text that loguru makes of it, and an exception as what it is."""

    class Message:
        def format(self, *arguments: object) -> str:
            return f"formatted {arguments}"

    logger.info(Message(), 1)
    logger.info(7)
    try:
        fail()
    except ValueError as error:
        logger.info(error)
    assert stats_of(sink) == (3, 3, 0)
    assert await counted(valkey) == {"formatted (1,)": 1, "7": 1, PLACE: 1}


async def test_a_patched_message(sink: CommonLogSink, valkey: Redis) -> None:
    """A message without arguments is counted as the application's patcher leaves it."""

    def mask(record: dict[str, Any]) -> None:
        record["message"] = re.sub("password=.*", "password=…", record["message"])

    logger.configure(patcher=mask)
    logger.info("password=hunter2")
    assert stats_of(sink) == (1, 1, 0)
    assert await counted(valkey) == {"password=…": 1}


async def test_a_call_within_a_call(sink: CommonLogSink, valkey: Redis) -> None:
    """A call that an argument of another makes is not taken for that one."""

    class Talkative:
        def __str__(self) -> str:
            logger.info("inner {}", 1)
            return "talkative"

    logger.info("outer {}", Talkative())
    logger.info(Talkative())
    assert stats_of(sink) == (4, 4, 0)
    assert await counted(valkey) == {"inner {}": 2, "outer {}": 1, "talkative": 1}


async def test_a_record_of_another_call(sink: CommonLogSink, valkey: Redis) -> None:
    """A record that is handed over in the course of another call has its own message."""
    kept: list[Any] = []
    logger.add(kept.append)
    logger.info("first {}", 1)
    logger.add(lambda _message: sink.write(kept[0]))
    logger.info("second {}", 2)
    assert stats_of(sink) == (3, 3, 0)
    assert await counted(valkey) == {"first {}": 1, "first 1": 1, "second {}": 1}


async def test_a_loguru_of_another_kind(
    sink: CommonLogSink, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a call can't be looked into, messages are counted as loguru shows them."""
    with monkeypatch.context() as patch:
        patch.setattr(integration, "_LOG_CODE", None)
        logger.info("{}", 1)
    with monkeypatch.context() as patch:
        patch.setattr(integration, "_LOG_CODE", fail.__code__)
        logger.info("{}", 2)
    with monkeypatch.context() as patch:
        patch.setattr(inspect, "currentframe", lambda: None)
        logger.info("{}", 3)
    assert stats_of(sink) == (3, 3, 0)
    assert await counted(valkey) == {"1": 1, "2": 1, "3": 1}


async def test_severities(valkey_url: str, valkey: Redis) -> None:
    """The severity is the name of the level in lower case, one that only loguru knows included."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False, level=0)
    for level in ("TRACE", "SUCCESS", "WARNING", 7):
        logger.log(level, "m {}", level)
    assert stats_of(sink) == (4, 4, 0)
    for severity in ("trace", "success", "warning", "level 7"):
        assert await counted(valkey, severity.replace(" ", "%20")) == {"m {}": 1}


async def test_names(valkey_url: str, valkey: Redis) -> None:
    """Without a service the name is that of the module that logs, or a documented word."""
    sink = CommonLogSink(valkey_url)
    logger.add(sink, catch=False)
    logger.info("m")
    for name in (None, "x" * 257):
        exec("logger.info('m')", {"logger": logger, "__name__": name})  # noqa: S102
    assert stats_of(sink) == (3, 3, 0)
    assert await counted(valkey, name="x" * 256) == {"m": 1}
    assert await counted(valkey, name=__name__) == {"m": 1}
    assert await counted(valkey, name="loguru") == {"m": 1}


async def test_an_exception_is_its_type_and_place(sink: CommonLogSink, valkey: Redis) -> None:
    """However it comes to be logged, an exception is counted by where it was raised."""
    try:
        fail()
    except ValueError as error:
        logger.exception("failed for {}", "bob")
        logger.opt(exception=True).error("failed for ada")
        logger.opt(exception=error).error("failed")
        logger.opt(exception=(ValueError, error, error.__traceback__)).error("failed")
    logger.catch(fail)()
    with logger.catch():
        fail()
    logger.exception("there is none {}", 1)
    assert stats_of(sink) == (7, 7, 0)
    assert await counted(valkey, "error") == {PLACE: 6, "there is none {}": 1}


class UnpicklableError(Exception):
    def __reduce__(self) -> str:
        raise TypeError("not to be pickled")


async def test_a_queue_between(valkey_url: str, valkey: Redis) -> None:
    """With `enqueue=True` nothing is lost, but messages have arguments and exceptions no place."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False, enqueue=True)
    for number in range(100):
        logger.info("message {}", number % 7)
    for error in (ValueError("x"), UnpicklableError()):
        try:
            raise error
        except type(error):
            logger.exception("failed")
    assert stats_of(sink) == (102, 102, 0)
    assert await counted(valkey) == Counter(f"message {number % 7}" for number in range(100))
    assert await counted(valkey, "error") == {"ValueError": 1, "UnpicklableError": 1}


async def test_a_message_of_ones_own(valkey_url: str, valkey: Redis) -> None:
    """The application may choose the message of each record; where that fails, a mark says so."""

    def message(record: dict[str, Any]) -> str:
        return f"{record['extra']['order']} in {record['function']}"

    sink = CommonLogSink(valkey_url, "shop", message)
    logger.add(sink, catch=False)
    logger.info("m {}", 1, order="an order")
    logger.info("an order is missing")
    assert stats_of(sink) == (2, 2, 0)
    assert await counted(valkey) == {
        "an order in test_a_message_of_ones_own": 1,
        "<not logged: its message raised KeyError>": 1,
    }


@pytest.mark.parametrize("catch", [True, False])
async def test_a_hook_that_logs(
    valkey_url: str, valkey: Redis, capsys: pytest.CaptureFixture[str], catch: bool
) -> None:
    """A hook that logs through the sink that called it neither hangs it up nor raises."""

    def message(record: dict[str, Any]) -> str:
        logger.info("in the hook")
        return str(record["message"])

    sink = CommonLogSink(valkey_url, "shop", message)
    logger.add(sink, catch=catch)
    logger.info("m")
    assert stats_of(sink) == (1, 1, 0)
    mark = "<not logged: its message raised RuntimeError>"
    assert await counted(valkey) == {"m" if catch else mark: 1}
    assert ("deadlock avoided" in capsys.readouterr().err) == catch


def test_it_never_raises(sink: CommonLogSink) -> None:
    """What is no record of loguru's is a number."""
    sink.write("text")  # type: ignore[arg-type]
    assert stats_of(sink) == (0, 0, 1)


@pytest.mark.parametrize("url", [None, NOWHERE])
def test_other_sinks_are_left_alone(valkey_url: str, url: str | None) -> None:
    """With the sink another one gets what it gets without it."""
    outputs = []
    for added in (False, True):
        output = io.StringIO()
        first = logger.add(output, format="{level} {message} {extra} {name}", diagnose=False)
        if added:
            logger.add(CommonLogSink(url or valkey_url, drain_timeout=0), catch=False)
        last = logger.add(output, format="{message}", serialize=False, diagnose=False)
        for number in range(3):
            logger.bind(a=1).info("user {} {user}", number, user="u")
            logger.opt(colors=True).info("<red>{}</red>", number)
        with logger.catch():
            fail()
        logger.remove(first)
        logger.remove(last)
        logger.remove()
        outputs.append(output.getvalue())
    assert outputs[0] == outputs[1]
    assert outputs[0].count("user 1 u") == 2


class Intercept(logging.Handler):
    """Hands records of the standard library to loguru, as loguru's own documentation shows."""

    def emit(self, record: logging.LogRecord) -> None:
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(
            record.levelname, record.getMessage()
        )


async def test_what_writing_causes_is_ignored(valkey_url: str, valkey: Redis) -> None:
    """Intercepted records of what writing to Redis logs are a number and nothing else."""
    sink = CommonLogSink(valkey_url)
    logger.add(sink, catch=False)
    root, intercept = logging.getLogger(), Intercept()
    root.addHandler(intercept)
    for name in ("redis.asyncio.connection", "logcommon.write", "asyncio", "redis_of_mine"):
        program = f"import logging; logging.getLogger({name!r}).warning('m')"
        exec(program, {"__name__": name})  # noqa: S102
    root.removeHandler(intercept)
    assert stats_of(sink) == (1, 1, 3)
    assert await counted(valkey, "warning", "redis_of_mine") == {"m": 1}


async def test_many_threads(sink: CommonLogSink, valkey: Redis) -> None:
    """Threads that log at once lose nothing and count nothing twice."""
    messages = [f"message {number % 7} {{}}" for number in range(500)]

    def work() -> None:
        for message in messages:
            logger.info(message, threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats_of(sink) == (4000, 4000, 0)
    assert await counted(valkey) == Counter(8 * messages)


async def test_a_client_of_the_application(valkey_url: str, valkey: Redis) -> None:
    """Its client is left open, writes in its own time, and has its settings already."""
    async with logcommon.connect(valkey_url) as log:
        sink = CommonLogSink(log, "shop")
        number = logger.add(sink, catch=False)
        logger.info("m")
        logger.remove(number)
        log.log_common_nowait("shop", "m")
        await log.flush()
        assert await counted(valkey) == {"m": 2}
        assert sink.stats.counted == log.stats.counted == 2
        with pytest.raises(logcommon.InvalidArgumentError, match="give linger there"):
            CommonLogSink(log, linger=1)


@pytest.mark.parametrize("service", ["", "x" * 257, 7])
def test_a_service_that_can_not_be_used(service: str) -> None:
    """A mistake shows when the sink is made, and not with each record."""
    with pytest.raises(logcommon.InvalidArgumentError, match="name must"):
        CommonLogSink(NOWHERE, service)


def test_redis_is_down() -> None:
    """Records are accepted, and when the sink is removed they are a number."""
    sink = CommonLogSink(NOWHERE, "shop", drain_timeout=0)
    logger.add(sink, catch=False)
    for number in range(100):
        logger.info("m {}", number)
    logger.remove()
    assert (sink.stats.calls, sink.stats.dropped_unwritten) == (100, 100)
    logger.add(sink, catch=False)
    logger.info("m")
    logger.remove()
    assert sink.stats.dropped_unwritten == 101


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
async def test_a_fork(sink: CommonLogSink, valkey: Redis) -> None:
    """A child counts its own records, and leaves those of its parent to the parent."""
    for number in range(10):
        logger.info("parent {}", number)

    def work() -> None:
        for number in range(5):
            logger.info("child {}", number)
        assert stats_of(sink) == (5, 5, 0)

    assert [in_child(work), in_child(work)] == [0, 0]
    logger.info("parent {}", 10)
    assert stats_of(sink) == (11, 11, 0)
    assert await counted(valkey) == {"parent {}": 11, "child {}": 10}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
async def test_a_queue_across_a_fork(valkey_url: str, valkey: Redis) -> None:
    """With `enqueue=True` the parent counts what its children log."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False, enqueue=True)
    assert in_child(lambda: logger.info("child {}", 1)) == 0
    assert stats_of(sink) == (1, 1, 0)
    assert await counted(valkey) == {"child 1": 1}


PROGRAM = """
import atexit, sys
from loguru import logger
from logcommon.integrations.loguru import CommonLogSink

logger.remove()
logger.add(CommonLogSink(sys.argv[1], service="shop"), catch=False)
atexit.register(lambda: logger.info("at the exit"))
for number in range(3000):
    logger.info("user {} is over the limit", number)
"""


async def test_a_program_that_just_ends(valkey_url: str, valkey: Redis) -> None:
    """A program without an event loop, which removes nothing, has counted all when it is gone."""
    done = await asyncio.to_thread(run, PROGRAM, valkey_url)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert await counted(valkey) == {"user {} is over the limit": 3000, "at the exit": 1}


async def test_wait_and_complete(valkey_url: str, valkey: Redis) -> None:
    """Both wait until Redis has everything, and no record waits by itself."""
    sink = CommonLogSink(valkey_url, "shop", linger=3600)
    assert not hasattr(sink, "flush")  # loguru would call it after every record
    logger.add(sink, catch=False)
    logger.info("m")
    assert sink.wait()
    logger.info("m")
    await logger.complete()
    assert sink.stats.counted == 2
    assert await counted(valkey) == {"m": 2}
    logger.remove()
    passed = CommonLogSink(logcommon.connect(valkey_url), "shop")
    assert passed.wait()
    await passed.complete()
