"""What an event of structlog is counted as."""

import asyncio
import io
import logging
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis
from structlog.stdlib import PositionalArgumentsFormatter, ProcessorFormatter
from structlog.typing import EventDict, WrappedLogger

import logcommon
from logcommon.integrations.structlog import CommonLogProcessor
from support.recorders import PLACE, counted, fail, failed, stats_of
from support.structlog_chain import logger_of, repr_of, stdlib_logger_of

ERROR = failed()


async def test_values_are_no_part_of_the_message(
    processor: CommonLogProcessor, valkey: Redis
) -> None:
    """Events that differ only in the values bound to them are one message."""
    log = logger_of(processor).bind(request="r")
    for number in range(1000):
        log.info("over the limit", user=number)
    log.bind(user=7).warning("over the limit")
    assert stats_of(processor) == (1001, 1001, 0)
    assert await counted(valkey, "structlog") == {"over the limit": 1000}
    assert await counted(valkey, "structlog", "warning") == {"over the limit": 1}


async def test_arguments_are_no_part_of_the_message(
    processor: CommonLogProcessor, valkey: Redis
) -> None:
    """Before `PositionalArgumentsFormatter`, a message is counted without its arguments."""
    log = stdlib_logger_of("shop.orders", processor, PositionalArgumentsFormatter())
    for number in range(100):
        log.info("user %s is over the limit", number)
    log.info("%(a)s", {"a": 1})
    assert stats_of(processor) == (101, 101, 0)
    expected = {"user %s is over the limit": 100, "%(a)s": 1}
    assert await counted(valkey, "shop.orders") == expected


@pytest.mark.parametrize(
    ("method", "severity"),
    {
        "debug": "debug",
        "info": "info",
        "msg": "info",
        "warn": "warning",
        "warning": "warning",
        "error": "error",
        "exception": "error",
        "critical": "critical",
        "fatal": "critical",
        "trace": "trace",
    }.items(),
)
async def test_severities(
    processor: CommonLogProcessor, valkey: Redis, method: str, severity: str
) -> None:
    """The severity is the method's, also for methods of the application's own."""
    event = {"event": "m", "level": "of the game"}
    assert processor(None, method, event) is event
    assert stats_of(processor) == (1, 1, 0)
    assert await counted(valkey, "structlog", severity) == {"m": 1}


async def test_the_level_that_was_set_is_the_severity(
    processor: CommonLogProcessor, valkey: Redis
) -> None:
    """A level set by an earlier processor, as by `add_log_level`, is used instead."""

    def soften(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
        return {**event_dict, "level": "WARN"}

    logger_of(structlog.processors.add_log_level, processor).exception("m")
    logger_of(soften, processor).error("m")
    assert stats_of(processor) == (2, 2, 0)
    assert await counted(valkey, "structlog", "error") == {"m": 1}
    assert await counted(valkey, "structlog", "warning") == {"m": 1}


class Named(structlog.PrintLogger):
    name = "named"


@pytest.mark.parametrize(
    ("logger", "bound", "expected"),
    [
        (logging.getLogger("shop.orders"), {"logger": "else"}, "shop.orders"),
        (Named(io.StringIO()), {}, "named"),
        (structlog.PrintLogger(io.StringIO()), {"logger": "bound"}, "bound"),
        (structlog.PrintLogger(io.StringIO()), {"logger": 7}, "structlog"),
        (structlog.PrintLogger(io.StringIO()), {}, "structlog"),
        (structlog.PrintLogger(io.StringIO()), {"logger": "x" * 257}, "x" * 256),
    ],
)
async def test_names(
    valkey_url: str, logger: WrappedLogger, bound: dict[str, object], expected: str
) -> None:
    """The name is the service, the logger's, the one bound to the event, or `structlog`."""
    async with logcommon.connect(valkey_url) as log:
        logger_of(CommonLogProcessor(log), logger=logger).info("m", **bound)
        logger_of(CommonLogProcessor(log, "shop"), logger=logger).info("m", **bound)
        await log.flush()
        assert {name for name, _ in await log.destinations()} == {expected, "shop"}


@pytest.mark.parametrize(
    "exc_info",
    [ERROR, (type(ERROR), ERROR, ERROR.__traceback__), True, 1],
    ids=["exception", "tuple", "True", "1"],
)
async def test_an_exception_is_its_type_and_place(
    processor: CommonLogProcessor, valkey: Redis, exc_info: object
) -> None:
    """However an exception is passed, it counts by its type and where it was raised."""
    log = logger_of(processor)
    try:
        fail()
    except ValueError:
        log.error("failed for bob", exc_info=exc_info)
        log.exception("failed for ada")
    assert stats_of(processor) == (2, 2, 0)
    assert await counted(valkey, "structlog", "error") == {PLACE: 2}


async def test_no_exception_after_all(processor: CommonLogProcessor, valkey: Redis) -> None:
    """If `exc_info` has no exception, the event is the message."""
    log = logger_of(processor)
    for exc_info in (True, "yes", (None, None, None), (1, "no", 3), (1, 2)):
        log.error("m", exc_info=exc_info)
    try:
        fail()
    except ValueError:
        for nothing in (False, None, (), (None, None, None)):
            log.error("handled", exc_info=nothing)

    assert stats_of(processor) == (9, 9, 0)
    assert await counted(valkey, "structlog", "error") == {"m": 5, "handled": 4}


async def test_methods_that_are_awaited(processor: CommonLogProcessor, valkey: Redis) -> None:
    """Events of async methods, which structlog runs in threads, count like others."""
    log, stdlib = logger_of(processor), stdlib_logger_of("shop", processor)
    await asyncio.gather(*(log.ainfo("m", number=number) for number in range(100)))
    try:
        fail()
    except ValueError:
        await log.aexception("m")
        await stdlib.aexception("m")
    await stdlib.ainfo("%s", 1)

    assert stats_of(processor) == (103, 103, 0)
    assert await counted(valkey, "structlog") == {"m": 100}
    assert await counted(valkey, "structlog", "error") == {PLACE: 1}
    assert await counted(valkey, "shop", "error") == {PLACE: 1}
    assert await counted(valkey, "shop") == {"%s": 1}


async def test_an_event_that_is_no_text(processor: CommonLogProcessor, valkey: Redis) -> None:
    """An event counts as its text, and an exception by its type and place."""
    log: Any = logger_of(processor)
    for event in (7, "", b"m", ERROR):
        log.info(event)
    assert stats_of(processor) == (4, 4, 0)
    assert await counted(valkey, "structlog") == {"7": 1, "": 1, "b'm'": 1, PLACE: 1}


@pytest.mark.parametrize("place", ["foreign_pre_chain", "processors"])
async def test_records_of_the_standard_library(
    processor: CommonLogProcessor, valkey: Redis, place: str
) -> None:
    """In a `ProcessorFormatter`, a record counts under its logger and without its arguments."""
    counting, in_formatter = [processor], place == "processors"
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(
        ProcessorFormatter(
            processors=[*counting, repr_of] if in_formatter else [repr_of],
            foreign_pre_chain=None if in_formatter else counting,
        )
    )
    logger = logging.getLogger("foreign")
    logger.addHandler(handler)
    for number in range(10):
        logger.warning("user %s is over the limit", number)
    try:
        fail()
    except ValueError:
        logger.exception("failed")
    stdlib = structlog.wrap_logger(
        logger,
        processors=[ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    stdlib.warning("of structlog", user="bob")
    logger.removeHandler(handler)
    own = {"of structlog": 1} if in_formatter else {}

    assert stats_of(processor) == (11 + len(own), 11 + len(own), 0)
    assert await counted(valkey, "foreign", "warning") == {"user %s is over the limit": 10} | own
    assert await counted(valkey, "foreign", "error") == {PLACE: 1}
