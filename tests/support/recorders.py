"""The adapters for loggers, each used in the same way, and what their tests have in common."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from loguru import logger as loguru_logger
from redis.asyncio import Redis

from logcommon.integrations._recorder import Recorder
from logcommon.integrations.logging import CommonLogHandler
from logcommon.integrations.loguru import CommonLogSink
from logcommon.integrations.opentelemetry import CommonLogExporter
from logcommon.integrations.structlog import CommonLogProcessor
from support.layout import read_counts
from support.structlog_chain import stdlib_logger_of
from support.telemetry import emit, provider_of

NOWHERE = "redis://127.0.0.1:1"
"""A server that is never there."""

Log = Callable[[str, str], None]
"""Logs a message with a logger's name."""


class Adapter(NamedTuple):
    """How one adapter is made and used."""

    make: Callable[..., Recorder]
    attach: Callable[[Any], Log]
    """Returns a function that logs to the recorder alone, at level `info`."""
    flush: Callable[[Any, float], bool]
    """Waits for what was logged, for some seconds if the adapter lets one choose."""


def with_handler(handler: CommonLogHandler) -> Log:
    """Log records of the standard library."""

    def log(name: str, message: str) -> None:
        handler.handle(logging.LogRecord(name, logging.INFO, "", 0, message, None, None))

    return log


def with_sink(sink: CommonLogSink) -> Log:
    """Log with loguru, as a module of that name."""
    loguru_logger.remove()
    loguru_logger.add(sink, catch=False)

    def log(name: str, message: str) -> None:
        loguru_logger.patch(lambda record: record.update(name=name)).info(message)  # type: ignore[call-arg]

    return log


def with_processor(processor: CommonLogProcessor) -> Log:
    """Log with structlog, around a logger of the standard library."""

    def log(name: str, message: str) -> None:
        stdlib_logger_of(name, processor).info(message)

    return log


def with_exporter(exporter: CommonLogExporter) -> Log:
    """Log with OpenTelemetry."""
    provider = provider_of(exporter)

    def log(name: str, message: str) -> None:
        emit(provider.get_logger(name), message)

    return log


ADAPTERS = {
    "logging": Adapter(CommonLogHandler, with_handler, lambda handler, _: handler.flush()),
    "loguru": Adapter(CommonLogSink, with_sink, CommonLogSink.wait),
    "structlog": Adapter(CommonLogProcessor, with_processor, CommonLogProcessor.flush),
    "opentelemetry": Adapter(
        CommonLogExporter,
        with_exporter,
        lambda exporter, seconds: exporter.force_flush(int(1000 * seconds)),
    ),
}


async def counted(valkey: Redis, name: str, severity: str = "info") -> Counter[str]:
    """Return what is counted for a destination, in all hours together."""
    return sum((await read_counts(valkey, name, severity)).values(), Counter())


def stats_of(recorder: Recorder) -> tuple[int, int, int]:
    """Close a recorder; return how many records it had, and how many it counted and ignored."""
    recorder.close()
    stats = recorder.stats
    assert (stats.pending, stats.dropped) == (0, 0)
    return stats.calls, stats.counted, recorder.ignored


def stats_of_removed(sink: CommonLogSink) -> tuple[int, int, int]:
    """Remove loguru's sinks, and return what `stats_of` does."""
    loguru_logger.remove()
    return stats_of(sink)


def fail() -> None:
    """Raise an error, whose text must not be counted."""
    raise ValueError("secret 4711")


def failed() -> ValueError:
    """Return an error that `fail` has raised."""
    try:
        fail()
    except ValueError as error:
        return error
    raise AssertionError


PLACE = f"ValueError at {__name__.replace('.', '/')}.py:{fail.__code__.co_firstlineno + 2}"
"""What an exception that `fail` raised is counted as."""


class Unprintable:
    """Raises if it is made a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")
