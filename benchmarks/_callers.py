"""What is called, each in its own terms, and proof afterwards that every call has arrived.

A caller is a context: it gives a function that makes so many calls, and when it is left, all that
was called has to be where it belongs, else it raises MismatchError.
"""

import logging
import logging.handlers
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Protocol, TypeAlias

import structlog
from loguru import logger as loguru_logger
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from redis import Redis
from structlog.typing import Processor

from _support import NAME, SEVERITY, MismatchError, make_messages, verify
from logcommon.background import BackgroundLog
from logcommon.integrations.logging import CommonLogHandler
from logcommon.integrations.loguru import CommonLogSink
from logcommon.integrations.opentelemetry import CommonLogExporter
from logcommon.integrations.structlog import CommonLogProcessor
from logcommon.stats import Stats

Calls: TypeAlias = Callable[[int], None]
Caller: TypeAlias = Callable[[str, int], AbstractContextManager[Calls]]
"""Takes the URL of a server, and how many calls will be made in all."""

DISTINCT = 50
TEMPLATE = "payment declined for order %s: the issuer did not respond"


@contextmanager
def baseline(_: str, total: int) -> Iterator[Calls]:
    """Call a Python function that appends a tuple with the time to a deque."""
    messages = iter(make_messages(total, DISTINCT))
    entries: deque[tuple[str, str, str, float]] = deque()

    def append(name: str, message: str, severity: str) -> None:
        entries.append((name, message, severity, time.time()))

    yield lambda calls: _call_each(append, islice(messages, calls))
    _require(len(entries), total)


@contextmanager
def nowait(url: str, total: int) -> Iterator[Calls]:
    """Call `log_common_nowait` of a client that is open in another thread."""
    messages = make_messages(total, DISTINCT)
    left = iter(messages)
    log = BackgroundLog(url, {})
    with _counted(url, log, messages):
        yield lambda calls: _call_each(log.log_common_nowait, islice(left, calls))


@contextmanager
def null_handler(_: str, total: int) -> Iterator[Calls]:
    """Log to a handler that does nothing: what `logging` itself costs."""
    with _logging(logging.NullHandler()) as calls:
        yield calls


@contextmanager
def handler(url: str, total: int) -> Iterator[Calls]:
    """Log to our handler."""
    ours = CommonLogHandler(url, service=NAME)
    with _counted(url, ours, [TEMPLATE] * total), _logging(ours) as calls:
        yield calls


@contextmanager
def queue_handler(_: str, total: int) -> Iterator[Calls]:
    """Log to a QueueHandler, with a listener in a thread that does nothing with what it gets."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    arrived = _Arrived()
    listener = logging.handlers.QueueListener(records, arrived)
    listener.start()
    with _logging(logging.handlers.QueueHandler(records)) as calls:
        yield calls
    listener.stop()
    _require(arrived.number, total)


@contextmanager
def loguru_plain(_: str, total: int) -> Iterator[Calls]:
    """Log to loguru with a sink that does nothing."""
    arrived = _Arrived()
    with _loguru(arrived.note, enqueue=False) as calls:
        yield calls
    _require(arrived.number, total)


@contextmanager
def loguru_enqueue(_: str, total: int) -> Iterator[Calls]:
    """Log to loguru with `enqueue=True`, and a sink that does nothing."""
    arrived = _Arrived()
    with _loguru(arrived.note, enqueue=True) as calls:
        yield calls
    _require(arrived.number, total)


@contextmanager
def loguru_sink(url: str, total: int) -> Iterator[Calls]:
    """Log to loguru with our sink, which needs no queue."""
    ours = CommonLogSink(url, service=NAME)
    messages = [TEMPLATE.replace("%s", "{}")] * total
    with _counted(url, ours, messages), _loguru(ours, enqueue=False) as calls:
        yield calls


@contextmanager
def structlog_plain(_: str, total: int) -> Iterator[Calls]:
    """Log to structlog, as JSON that goes nowhere."""
    with _structlog(total) as calls:
        yield calls


@contextmanager
def structlog_processor(url: str, total: int) -> Iterator[Calls]:
    """Log to structlog in the same way, with our processor before the others."""
    ours = CommonLogProcessor(url, service=NAME)
    with _counted(url, ours, [TEMPLATE] * total), _structlog(total, ours) as calls:
        yield calls


@contextmanager
def otel_batch(_: str, total: int) -> Iterator[Calls]:
    """Emit to OpenTelemetry's batch processor, with an exporter that does nothing."""
    arrived = _Arrived()
    # With room for all: by default it holds 2,048 records, and drops what comes faster.
    processor = BatchLogRecordProcessor(_NoExporter(arrived), max_queue_size=total)
    with _otel(processor) as calls:
        yield calls
    _require(arrived.number, total)


@contextmanager
def otel_exporter(url: str, total: int) -> Iterator[Calls]:
    """Emit to OpenTelemetry's batch processor with our exporter."""
    ours = CommonLogExporter(url, service=NAME)
    processor = BatchLogRecordProcessor(ours, max_queue_size=total)
    with _counted(url, ours, [TEMPLATE] * total), _otel(processor) as calls:
        yield calls


class _Ours(Protocol):
    """What any of our integrations is."""

    @property
    def stats(self) -> Stats: ...

    def close(self) -> None: ...


class _Arrived(logging.Handler):
    """Counts what arrives at the end of a queue, in one thread."""

    number = 0

    def note(self, *_: object) -> None:
        self.number += 1

    def handle(self, record: logging.LogRecord) -> bool:
        self.note(record)
        return True


class _NoExporter(LogRecordExporter):
    def __init__(self, arrived: _Arrived) -> None:
        self._arrived = arrived

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self._arrived.number += len(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def shutdown(self) -> None:
        """Have nothing to shut down."""


@contextmanager
def _counted(url: str, ours: _Ours, messages: Sequence[str]) -> Iterator[None]:
    """Empty the server before, and compare it afterwards with what was called."""
    with Redis.from_url(url) as admin:
        admin.flushall()
        yield
        ours.close()
        if (ours.stats.counted, ours.stats.calls) != (len(messages), len(messages)):
            raise MismatchError(f"made {len(messages)} calls; the client has {ours.stats}")
        verify(admin, messages)


@contextmanager
def _logging(to: logging.Handler) -> Iterator[Calls]:
    logger = logging.getLogger(NAME)
    logger.handlers, logger.propagate = [to], False
    logger.setLevel(logging.INFO)

    def call(calls: int) -> None:
        for number in range(calls):
            logger.info(TEMPLATE, number)

    yield call


@contextmanager
def _loguru(sink: Callable[..., None] | CommonLogSink, *, enqueue: bool) -> Iterator[Calls]:
    template = TEMPLATE.replace("%s", "{}")
    loguru_logger.remove()
    added = loguru_logger.add(sink, level=SEVERITY.upper(), enqueue=enqueue)

    def call(calls: int) -> None:
        for number in range(calls):
            loguru_logger.info(template, number)

    yield call
    loguru_logger.remove(added)


@contextmanager
def _structlog(total: int, *first: Processor) -> Iterator[Calls]:
    end = _Arrived()
    rest: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.JSONRenderer(),
    ]
    logger = structlog.wrap_logger(
        _Wrapped(end.note), processors=[*first, *rest], wrapper_class=structlog.BoundLogger
    ).bind()

    def call(calls: int) -> None:
        for number in range(calls):
            logger.info(TEMPLATE, order=number)

    yield call
    _require(end.number, total)


class _Wrapped:
    """What structlog hands its result to: a logger with one method."""

    def __init__(self, info: Callable[..., None]) -> None:
        self.info = info


@contextmanager
def _otel(processor: BatchLogRecordProcessor) -> Iterator[Calls]:
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    logger = provider.get_logger(NAME)

    def call(calls: int) -> None:
        for number in range(calls):
            logger.emit(body=TEMPLATE, severity_text=SEVERITY, attributes={"order": number})

    yield call
    provider.force_flush()
    provider.shutdown()


def _call_each(function: Callable[[str, str, str], object], messages: Iterable[str]) -> None:
    for message in messages:
        function(NAME, message, SEVERITY)


def _require(arrived: int, total: int) -> None:
    if arrived != total:
        raise MismatchError(f"made {total} calls; {arrived} have arrived")
