"""The processor for structlog."""

import asyncio
import io
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import structlog
from redis.asyncio import Redis
from structlog.stdlib import PositionalArgumentsFormatter, ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

import logcommon
from logcommon.integrations.structlog import CommonLogProcessor
from support.fork import in_child
from support.layout import read_counts
from support.programs import run

NOWHERE = "redis://127.0.0.1:1"

NATIVE = structlog.make_filtering_bound_logger(logging.NOTSET)
"""The class of loggers that structlog makes by default."""


@pytest.fixture
def processor(valkey_url: str) -> Iterator[CommonLogProcessor]:
    """A processor with a client of its own, closed at the end."""
    processor = CommonLogProcessor(valkey_url)
    yield processor
    processor.close()


def logger_of(
    *processors: Processor, logger: WrappedLogger = None, wrapper: type = NATIVE
) -> FilteringBoundLogger:
    """Return a logger with just these processors, which prints to nowhere by default."""
    wrapped = structlog.PrintLogger(io.StringIO()) if logger is None else logger
    return structlog.wrap_logger(
        wrapped, processors=[*processors, repr_of], wrapper_class=wrapper, context_class=dict
    )


def stdlib_logger_of(name: str, *processors: Processor) -> FilteringBoundLogger:
    """Return a logger with just these processors around one of the standard library's."""
    return logger_of(
        *processors, logger=logging.getLogger(name), wrapper=structlog.stdlib.BoundLogger
    )


def repr_of(_logger: object, _method: str, event_dict: EventDict) -> str:
    """Render an event to all that is in it."""
    return repr(event_dict)


async def counted(valkey: Redis, name: str, severity: str = "info") -> Counter[str]:
    """Return what is counted under a name, in all hours together."""
    return sum((await read_counts(valkey, name, severity)).values(), Counter())


def fail() -> None:
    raise ValueError("of this time")


PLACE = f"ValueError at {__name__.replace('.', '/')}.py:{fail.__code__.co_firstlineno + 1}"
"""What an exception that `fail` raised is counted as."""


def caught() -> ValueError:
    """Return an exception that was raised."""
    with pytest.raises(ValueError, match="of this time") as raised:
        fail()
    return raised.value


def stats_of(processor: CommonLogProcessor) -> tuple[int, int, int]:
    """Return how many events there were, how many of them are counted, and those ignored."""
    processor.close()
    stats = processor.stats
    assert (stats.pending, stats.dropped) == (0, 0)
    return stats.calls, stats.counted, processor.ignored


async def test_values_are_no_part_of_the_message(
    processor: CommonLogProcessor, valkey: Redis
) -> None:
    """Events that differ in what is bound to them are one message, each counted once."""
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
    """In front of `PositionalArgumentsFormatter` a message has its arguments not put in."""
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
    """The severity is that of the method, one that only the application knows included."""
    event = {"event": "m", "level": "of the game"}
    assert processor(None, method, event) is event
    assert stats_of(processor) == (1, 1, 0)
    assert await counted(valkey, "structlog", severity) == {"m": 1}


async def test_the_level_that_was_set_is_the_severity(
    processor: CommonLogProcessor, valkey: Redis
) -> None:
    """Where a processor in front has set another level, as `add_log_level` does, that counts."""

    def soften(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
        return event_dict | {"level": "WARN"}

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
    """The name is the logger's, that bound to the event, or a documented word; or the service."""
    async with logcommon.connect(valkey_url) as log:
        logger_of(CommonLogProcessor(log), logger=logger).info("m", **bound)
        logger_of(CommonLogProcessor(log, "shop"), logger=logger).info("m", **bound)
        await log.flush()
        assert {name for name, _ in await log.destinations()} == {expected, "shop"}


CHAINS: dict[str, Callable[..., FilteringBoundLogger]] = {
    "native": lambda *chain: logger_of(structlog.contextvars.merge_contextvars, *chain),
    "rendered after": lambda *chain: logger_of(
        structlog.processors.add_log_level, *chain, structlog.processors.JSONRenderer()
    ),
    "rendered before": lambda *chain: logger_of(structlog.processors.JSONRenderer(), *chain),
    "renamed before": lambda *chain: logger_of(structlog.processors.EventRenamer("msg"), *chain),
    "exception formatted before": lambda *chain: logger_of(
        structlog.processors.format_exc_info, *chain
    ),
    "positional": lambda *chain: stdlib_logger_of(
        "shop", *chain, PositionalArgumentsFormatter(remove_positional_args=False)
    ),
}


@pytest.mark.parametrize("url", [None, NOWHERE])
@pytest.mark.parametrize("chain", CHAINS)
def test_the_result_is_the_same(valkey_url: str, chain: str, url: str | None) -> None:
    """With the processor, wherever it stands, a logger is called with what it is called without."""
    processor = CommonLogProcessor(url or valkey_url, drain_timeout=0)
    outputs = []
    for processors in ((), (processor,)):
        output = io.StringIO()
        log = CHAINS[chain](*processors)
        if chain == "positional":
            handler = logging.StreamHandler(output)
            logging.getLogger("shop").addHandler(handler)
            log.warning("a %s", "b", c="d")
            logging.getLogger("shop").removeHandler(handler)
        else:
            log = structlog.wrap_logger(
                structlog.PrintLogger(output),
                processors=log._processors,
                wrapper_class=log._wrapper_class,
            )
            log.bind(x=1).info("an event", y={"z": 2})
            log.error(b"bytes")
            log.error("failed", exc_info=ERROR)
        outputs.append(output.getvalue())
    processor.close()
    assert outputs[0] == outputs[1] != ""


ERROR = caught()


@pytest.mark.parametrize(
    "exc_info",
    [ERROR, (type(ERROR), ERROR, ERROR.__traceback__), True, 1],
    ids=["exception", "tuple", "True", "1"],
)
async def test_an_exception_is_its_type_and_place(
    processor: CommonLogProcessor, valkey: Redis, exc_info: object
) -> None:
    """However it is handed over, an exception is counted by where it was raised."""
    log = logger_of(processor)
    try:
        fail()
    except ValueError:
        log.error("failed for bob", exc_info=exc_info)
        log.exception("failed for ada")
    assert stats_of(processor) == (2, 2, 0)
    assert await counted(valkey, "structlog", "error") == {PLACE: 2}


async def test_no_exception_after_all(processor: CommonLogProcessor, valkey: Redis) -> None:
    """Where an exception is asked for and there is none, the event is the message."""
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
    """Events of async methods, which structlog hands to threads, are counted like others."""
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


async def test_events_that_are_dropped(processor: CommonLogProcessor, valkey: Redis) -> None:
    """What is dropped in front of it is not counted; what is dropped behind it stays dropped."""

    def drop(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
        raise structlog.DropEvent

    output = io.StringIO()
    for chain in ((drop, processor), (processor, drop)):
        logger_of(*chain, logger=structlog.PrintLogger(output)).info("m")
    assert output.getvalue() == ""
    assert stats_of(processor) == (1, 1, 0)
    assert await counted(valkey, "structlog") == {"m": 1}


async def test_an_event_that_is_no_text(processor: CommonLogProcessor, valkey: Redis) -> None:
    """An event is counted as its text, and an exception as what it is."""
    for event in (7, "", b"m", ERROR):
        logger_of(processor).info(event)
    assert stats_of(processor) == (4, 4, 0)
    assert await counted(valkey, "structlog") == {"7": 1, "": 1, "b'm'": 1, PLACE: 1}


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "event",
    [
        {"event": Unprintable()},
        {},
        {"event": None},
        "rendered",
        None,
    ],
    ids=["unprintable", "empty", "none", "text", "no event"],
)
def test_it_never_raises(processor: CommonLogProcessor, event: EventDict) -> None:
    """An event that can't be counted goes on as it is, and is a number."""
    assert processor(None, "info", event) is event
    assert stats_of(processor) == (0, 0, 1)


def test_what_writing_causes_is_ignored(processor: CommonLogProcessor) -> None:
    """Events of the loggers that writing to Redis logs through are a number and nothing else."""
    for name in ("redis.asyncio.connection", "logcommon", "asyncio"):
        stdlib_logger_of(name, processor).warning("m")
    for name in ("my.redis", "redis_of_mine"):
        stdlib_logger_of(name, processor).warning("m")
    assert stats_of(processor) == (2, 2, 3)


@pytest.mark.parametrize("place", ["foreign_pre_chain", "processors"])
async def test_records_of_the_standard_library(
    processor: CommonLogProcessor, valkey: Redis, place: str
) -> None:
    """In a `ProcessorFormatter` a record is counted by its logger and before its arguments."""
    keys = {"processors": [repr_of], "foreign_pre_chain": []}
    keys[place].insert(0, processor)
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(ProcessorFormatter(**keys))
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
    own = {"of structlog": 1} if place == "processors" else {}
    assert stats_of(processor) == (11 + len(own), 11 + len(own), 0)
    assert await counted(valkey, "foreign", "warning") == {"user %s is over the limit": 10} | own
    assert await counted(valkey, "foreign", "error") == {PLACE: 1}


async def test_many_threads(processor: CommonLogProcessor, valkey: Redis) -> None:
    """Threads that log at once lose nothing and count nothing twice."""
    log = logger_of(processor)

    messages = [f"message {number % 7}" for number in range(2000)]

    def work() -> None:
        for message in messages:
            log.info(message, thread=threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats_of(processor) == (16_000, 16_000, 0)
    assert await counted(valkey, "structlog") == Counter(8 * messages)


async def test_a_client_of_the_application(valkey_url: str, valkey: Redis) -> None:
    """Its client is left open, writes in its own time, and has its settings already."""
    async with logcommon.connect(valkey_url) as log:
        processor = CommonLogProcessor(log)
        processor.close()
        logger_of(processor).info("m")
        await log.flush()
        assert await counted(valkey, "structlog") == {"m": 1}
        assert processor.stats.counted == log.stats.counted == 1
        with pytest.raises(logcommon.InvalidArgumentError, match="give linger there"):
            CommonLogProcessor(log, linger=1)


@pytest.mark.parametrize("service", ["", "x" * 257, 7])
def test_a_service_that_can_not_be_used(service: str) -> None:
    """A mistake shows when the processor is made, and not with each event."""
    with pytest.raises(logcommon.InvalidArgumentError, match="name must"):
        CommonLogProcessor(NOWHERE, service)


def test_redis_is_down() -> None:
    """Events are accepted, and at the close they are a number."""
    processor = CommonLogProcessor(NOWHERE, drain_timeout=0)
    for _ in range(100):
        logger_of(processor).info("m")
    processor.close()
    assert (processor.stats.calls, processor.stats.dropped_unwritten) == (100, 100)
    logger_of(processor).info("m")
    processor.close()
    assert (processor.stats.calls, processor.stats.dropped_unwritten) == (101, 101)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
async def test_a_fork(processor: CommonLogProcessor, valkey: Redis) -> None:
    """A child counts its own events, and leaves those of its parent to the parent."""
    log = logger_of(processor)
    for _ in range(10):
        log.info("parent")

    def work() -> None:
        for _ in range(5):
            log.info("child")
        assert stats_of(processor) == (5, 5, 0)

    assert [in_child(work), in_child(work)] == [0, 0]
    log.info("parent")
    assert stats_of(processor) == (11, 11, 0)
    assert await counted(valkey, "structlog") == {"parent": 11, "child": 10}


PROGRAM = """
import atexit, sys, structlog
from logcommon.integrations.structlog import CommonLogProcessor

atexit.register(lambda: structlog.get_logger().info("the very last"))
processor = CommonLogProcessor(sys.argv[1], service="shop")
structlog.configure(processors=[processor, structlog.processors.KeyValueRenderer()])
atexit.register(lambda: structlog.get_logger().info("at the exit"))
for number in range(3000):
    structlog.get_logger().info("over the limit", user=number)
"""


async def test_a_program_that_just_ends(valkey_url: str, valkey: Redis) -> None:
    """A program without an event loop, which closes nothing, has counted all when it is gone."""
    done = await asyncio.to_thread(run, PROGRAM, valkey_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 3002
    assert await counted(valkey, "shop") == {
        "over the limit": 3000,
        "at the exit": 1,
        "the very last": 1,
    }


async def test_flush(valkey_url: str, valkey: Redis) -> None:
    """It waits until Redis has everything; a client that was passed in is not waited for."""
    processor = CommonLogProcessor(valkey_url, linger=3600)
    logger_of(processor).info("m")
    assert processor.flush()
    logger_of(processor).info("m")
    assert processor.flush()
    assert await counted(valkey, "structlog") == {"m": 2}
    processor.close()
    passed = CommonLogProcessor(logcommon.connect(valkey_url))
    assert passed.flush()
    logger_of(passed).info("m")
    assert not passed.flush()
