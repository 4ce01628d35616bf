"""What a record of loguru is counted as."""

import inspect
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from loguru import logger
from redis.asyncio import Redis

from logcommon.integrations import loguru as integration
from logcommon.integrations.loguru import CommonLogSink
from support.recorders import PLACE, counted, fail, stats_of_removed

if TYPE_CHECKING:
    from loguru import Record


async def test_arguments_are_no_part_of_the_message(sink: CommonLogSink, valkey: Redis) -> None:
    """Records of one call are one message, whatever the arguments are."""
    for number in range(1000):
        logger.info("user {} is over the limit", number)
        logger.info("user {user} of {}", "shop", user=number)
        logger.info("over the limit", user=number)

    assert stats_of_removed(sink) == (3000, 3000, 0)
    assert await counted(valkey, "shop") == {
        "user {} is over the limit": 1000,
        "user {user} of {}": 1000,
        "over the limit": 1000,
    }


def wrapped(message: str, *arguments: object) -> None:
    logger.opt(depth=1).info(message, *arguments)


async def test_options_of_a_call(sink: CommonLogSink, valkey: Redis) -> None:
    """Whatever options a call has, its message is counted without the arguments."""
    for number in (1, 2):
        logger.opt(lazy=True).info("lazy {}", lambda number=number: number)
        logger.opt(raw=True).info("raw {}\n", number)
        logger.opt(record=True).info("line {record[line]}")
        logger.opt(colors=True).info("<red>user {}</red>", number)
        logger.opt(colors=True).info("<red>plain</red>")
        logger.opt(capture=False).bind(a=number).info("bound {b}", b=number)
        logger.patch(lambda record: record["extra"].clear()).info("patched {}", number)
        wrapped("wrapped {}", number)
        logger.info("{{}}")

    messages = ["lazy {}", "raw {}\n", "line {record[line]}", "<red>user {}</red>", "plain"]
    messages += ["bound {b}", "patched {}", "wrapped {}", "{{}}"]
    assert stats_of_removed(sink) == (18, 18, 0)
    assert await counted(valkey, "shop") == dict.fromkeys(messages, 2)


async def test_a_message_that_is_no_text(sink: CommonLogSink, valkey: Redis) -> None:
    """Anything counts as the text that loguru makes of it; an exception by its type and place."""

    class Message:
        def format(self, *arguments: object) -> str:
            return f"formatted {arguments}"

    logger.info(Message(), 1)  # type: ignore[call-overload]
    logger.info(7)
    try:
        fail()
    except ValueError as error:
        logger.info(error)
    assert stats_of_removed(sink) == (3, 3, 0)
    assert await counted(valkey, "shop") == {"formatted (1,)": 1, "7": 1, PLACE: 1}


async def test_a_patched_message(sink: CommonLogSink, valkey: Redis) -> None:
    """A message without arguments is counted as a patcher of the application leaves it."""

    def mask(record: "Record") -> None:
        record["message"] = re.sub("password=.*", "password=…", record["message"])

    logger.configure(patcher=mask)
    logger.info("password=hunter2")
    assert stats_of_removed(sink) == (1, 1, 0)
    assert await counted(valkey, "shop") == {"password=…": 1}


async def test_a_call_within_a_call(sink: CommonLogSink, valkey: Redis) -> None:
    """A call made by the argument of another is not mistaken for it."""

    class Talkative:
        def __str__(self) -> str:
            logger.info("inner {}", 1)
            return "talkative"

    logger.info("outer {}", Talkative())
    logger.info(Talkative())
    assert stats_of_removed(sink) == (4, 4, 0)
    assert await counted(valkey, "shop") == {"inner {}": 2, "outer {}": 1, "talkative": 1}


async def test_a_record_of_another_call(sink: CommonLogSink, valkey: Redis) -> None:
    """A record passed on during another call keeps its own message."""
    kept: list[Any] = []
    logger.add(kept.append)
    logger.info("first {}", 1)
    logger.add(lambda _message: sink.write(kept[0]))
    logger.info("second {}", 2)
    assert stats_of_removed(sink) == (3, 3, 0)
    assert await counted(valkey, "shop") == {"first {}": 1, "first 1": 1, "second {}": 1}


async def test_a_call_that_can_not_be_found(
    sink: CommonLogSink, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the call can't be found on the stack, the finished message counts."""
    with monkeypatch.context() as patch:
        patch.setattr(integration, "_LOG_CODE", None)
        logger.info("{}", 1)
    with monkeypatch.context() as patch:
        patch.setattr(integration, "_LOG_CODE", fail.__code__)
        logger.info("{}", 2)
    with monkeypatch.context() as patch:
        patch.setattr(inspect, "currentframe", lambda: None)
        logger.info("{}", 3)

    assert stats_of_removed(sink) == (3, 3, 0)
    assert await counted(valkey, "shop") == {"1": 1, "2": 1, "3": 1}


async def test_severities(valkey_url: str, valkey: Redis) -> None:
    """The severity is the level's name in lower case, also for levels of loguru alone."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False, level=0)
    for level in ("TRACE", "SUCCESS", "WARNING", 7):
        logger.log(level, "m {}", level)
    assert stats_of_removed(sink) == (4, 4, 0)
    for severity in ("trace", "success", "warning", "level 7"):
        assert await counted(valkey, "shop", severity.replace(" ", "%20")) == {"m {}": 1}


async def test_names(valkey_url: str, valkey: Redis) -> None:
    """Without a service, the name is the module that logs, or else `loguru`."""
    sink = CommonLogSink(valkey_url)
    logger.add(sink, catch=False)
    logger.info("m")
    for name in (None, "x" * 257):
        exec("logger.info('m')", {"logger": logger, "__name__": name})  # noqa: S102
    assert stats_of_removed(sink) == (3, 3, 0)
    assert await counted(valkey, "x" * 256) == {"m": 1}
    assert await counted(valkey, __name__) == {"m": 1}
    assert await counted(valkey, "loguru") == {"m": 1}


async def test_an_exception_is_its_type_and_place(sink: CommonLogSink, valkey: Redis) -> None:
    """However an exception is logged, it counts by its type and where it was raised."""
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

    assert stats_of_removed(sink) == (7, 7, 0)
    assert await counted(valkey, "shop", "error") == {PLACE: 6, "there is none {}": 1}


class UnpicklableError(Exception):
    def __reduce__(self) -> str:
        raise TypeError("not to be pickled")


async def test_a_queue_between(valkey_url: str, valkey: Redis) -> None:
    """With `enqueue=True`, messages have their arguments in them and exceptions no place."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False, enqueue=True)
    for number in range(100):
        logger.info("message {}", number % 7)
    for error in (ValueError("x"), UnpicklableError()):
        try:
            raise error
        except type(error):
            logger.exception("failed")

    assert stats_of_removed(sink) == (102, 102, 0)
    assert await counted(valkey, "shop") == Counter(
        f"message {number % 7}" for number in range(100)
    )
    assert await counted(valkey, "shop", "error") == {"ValueError": 1, "UnpicklableError": 1}


async def test_a_message_of_ones_own(valkey_url: str, valkey: Redis) -> None:
    """`message` chooses from the whole record; if it raises, a marker is counted."""

    def message(record: "Record") -> str:
        return f"{record['extra']['order']} in {record['function']}"

    sink = CommonLogSink(valkey_url, "shop", message)
    logger.add(sink, catch=False)
    logger.info("m {}", 1, order="an order")
    logger.info("an order is missing")
    assert stats_of_removed(sink) == (2, 2, 0)
    assert await counted(valkey, "shop") == {
        "an order in test_a_message_of_ones_own": 1,
        "<not logged: its message raised KeyError>": 1,
    }
