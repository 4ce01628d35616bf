"""The exporter for OpenTelemetry."""

import asyncio
import logging
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.sdk._logs import (
    LoggerProvider,
    LoggingHandler,
    LogRecordProcessor,
    ReadableLogRecord,
)
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.opentelemetry import CommonLogExporter
from support.fork import in_child
from support.layout import read_counts
from support.programs import run

NOWHERE = "redis://127.0.0.1:1"
PROCESSORS = [SimpleLogRecordProcessor, BatchLogRecordProcessor]

Make = Callable[..., LogRecordProcessor]


@pytest.fixture
def exporter(valkey_url: str) -> Iterator[CommonLogExporter]:
    """An exporter with a client of its own, closed at the end."""
    exporter = CommonLogExporter(valkey_url, "shop")
    yield exporter
    exporter.close()


def provider_of(
    exporter: CommonLogExporter, make: Make = SimpleLogRecordProcessor, **attributes: str
) -> LoggerProvider:
    """Return a provider that the test shuts down, with just this exporter."""
    resource = Resource.create(attributes) if attributes else None
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(make(exporter))
    return provider


def emit(
    logger: Logger, body: object, severity: object = SeverityNumber.INFO, **more: object
) -> None:
    """Emit one record, as an instrumentation does."""
    now = time.time_ns()
    logger.emit(
        LogRecord(
            timestamp=now, observed_timestamp=now, severity_number=severity, body=body, **more
        )
    )


async def counted(valkey: Redis, severity: str = "info", name: str = "shop") -> Counter[str]:
    """Return what is counted under a name, in all hours together."""
    return sum((await read_counts(valkey, name, severity)).values(), Counter())


def stats_of(exporter: CommonLogExporter) -> tuple[int, int, int]:
    """Return, at its end, how many records an exporter has had, counted and ignored."""
    exporter.close()
    stats = exporter.stats
    assert (stats.pending, stats.dropped) == (0, 0)
    return stats.calls, stats.counted, exporter.ignored


def fail() -> None:
    raise ValueError("of this time")


PLACE = f"ValueError at {__name__.replace('.', '/')}.py:{fail.__code__.co_firstlineno + 1}"
"""What an exception that `fail` raised is counted as."""

PLACE_IN_TEXT = "ValueError at " + "/".join(PLACE.split(" at ")[1].split("/")[-2:])
"""The same where there is only the text of a traceback."""


@pytest.mark.parametrize("make", PROCESSORS)
async def test_records_are_counted(exporter: CommonLogExporter, valkey: Redis, make: Make) -> None:
    """Each record is counted once as its body, whatever its attributes are."""
    provider = provider_of(exporter, make)
    logger = provider.get_logger("orders")
    for number in range(1000):
        emit(logger, "over the limit", attributes={"user": number})
    emit(logger, "over the limit", SeverityNumber.WARN)
    provider.shutdown()
    assert stats_of(exporter) == (1001, 1001, 0)
    assert await counted(valkey) == {"over the limit": 1000}
    assert await counted(valkey, "warning") == {"over the limit": 1}


async def test_the_name_of_an_event(exporter: CommonLogExporter, valkey: Redis) -> None:
    """An event, which has a name, is counted as that; a body of any type as its text."""
    logger = provider_of(exporter).get_logger("orders")
    emit(logger, {"user": 7}, event_name="limit.passed")
    emit(logger, None, event_name="limit.passed")
    emit(logger, {"user": 7})
    emit(logger, 7)
    emit(logger, "")
    emit(logger, None)
    assert stats_of(exporter) == (5, 5, 1)
    assert await counted(valkey) == {"limit.passed": 2, "{'user': 7}": 1, "7": 1, "": 1}


@pytest.mark.parametrize(
    ("number", "text", "severity"),
    [
        (SeverityNumber.TRACE, None, "trace"),
        (SeverityNumber.TRACE4, None, "trace"),
        (SeverityNumber.DEBUG, None, "debug"),
        (SeverityNumber.DEBUG4, None, "debug"),
        (SeverityNumber.INFO, "other", "info"),
        (SeverityNumber.INFO4, None, "info"),
        (SeverityNumber.WARN, "WARN", "warning"),
        (SeverityNumber.WARN4, None, "warning"),
        (SeverityNumber.ERROR, None, "error"),
        (SeverityNumber.ERROR4, None, "error"),
        (SeverityNumber.FATAL, None, "critical"),
        (SeverityNumber.FATAL4, None, "critical"),
        (SeverityNumber.UNSPECIFIED, "WARN", "warning"),
        (None, "FATAL", "critical"),
        (None, "Notice", "notice"),
        (None, None, "info"),
    ],
)
async def test_severities(
    exporter: CommonLogExporter,
    valkey: Redis,
    number: SeverityNumber | None,
    text: str | None,
    severity: str,
) -> None:
    """The severity is that of the number, without one that of the text, and without both `info`."""
    emit(provider_of(exporter).get_logger("orders"), "m", number, severity_text=text)
    assert stats_of(exporter) == (1, 1, 0)
    assert await counted(valkey, severity) == {"m": 1}


@pytest.mark.parametrize(
    ("service", "attributes", "scope", "expected"),
    [
        ("shop", {"service.name": "resource"}, "orders", "shop"),
        (None, {"service.name": "resource"}, "orders", "resource"),
        (None, {}, "orders", "orders"),
        (None, {"service.version": "1"}, "orders", "orders"),
        (None, {}, "", "unknown_service"),
        (None, {}, "x" * 257, "x" * 256),
    ],
)
async def test_names(
    valkey_url: str,
    service: str | None,
    attributes: dict[str, str],
    scope: str,
    expected: str,
) -> None:
    """The name is the one given, the resource's, the logger's, or else the SDK's word for none."""
    async with logcommon.connect(valkey_url) as log:
        provider = provider_of(CommonLogExporter(log, service), **attributes)
        emit(provider.get_logger(scope), "m")
        await log.flush()
        assert [name for name, _ in await log.destinations()] == [expected]


async def test_a_record_of_nothing_but_a_body(valkey_url: str, valkey: Redis) -> None:
    """A record without a scope, a severity, attributes and a resource that says anything counts."""
    exporter = CommonLogExporter(valkey_url)
    record = LogRecord(body="m")
    assert record.attributes is None
    exporter.export([ReadableLogRecord(record, Resource({}))])
    assert stats_of(exporter) == (1, 1, 0)
    assert await counted(valkey, name="unknown_service") == {"m": 1}


@pytest.mark.parametrize("make", PROCESSORS)
async def test_an_exception_is_its_type_and_place(
    exporter: CommonLogExporter, valkey: Redis, make: Make
) -> None:
    """An exception that a record carries is counted by where it was raised."""
    provider = provider_of(exporter, make)
    for number in range(3):
        try:
            fail()
        except ValueError as error:
            body = f"failed for {number}"
            emit(provider.get_logger("orders"), body, SeverityNumber.ERROR, exception=error)
    provider.shutdown()
    assert stats_of(exporter) == (3, 3, 0)
    assert await counted(valkey, "error") == {PLACE: 3}


def logging_handler(provider: LoggerProvider) -> logging.Handler:
    """Return the SDK's own handler of `logging`, which it has begun to replace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return LoggingHandler(logger_provider=provider)


async def test_records_of_the_standard_library(exporter: CommonLogExporter, valkey: Redis) -> None:
    """Their body has the arguments in it, and of an exception they have texts."""
    logger, handler = logging.getLogger("foreign"), logging_handler(provider_of(exporter))
    logger.addHandler(handler)
    logger.warning("user %s", "bob")
    for code in ("fail()", "int('no number')", "__import__('json').loads('{')"):
        try:
            exec(compile(code, "/srv/app/orders.py", "exec"))  # noqa: S102
        except ValueError:
            logger.exception("failed")
    logger.removeHandler(handler)
    assert stats_of(exporter) == (4, 4, 0)
    assert await counted(valkey, "warning") == {"user bob": 1}
    assert await counted(valkey, "error") == {
        PLACE_IN_TEXT: 1,
        "ValueError at app/orders.py:1": 1,
        "JSONDecodeError at app/orders.py:1": 1,
    }


@pytest.mark.parametrize(
    ("stacktrace", "message"),
    [
        (None, "app.PaymentError"),
        ("", "app.PaymentError"),
        ("no traceback", "app.PaymentError"),
        (7, "app.PaymentError"),
        ('  File "/x/site-packages/lib/a.py", line 2, in f\n', "app.PaymentError at lib/a.py:2"),
        (
            'Traceback (most recent call last):\n  File "/x/app/views.py", line 3, in view\n'
            "    pay()\n"
            '  File "/x/app/orders.py", line 41, in pay\n    send()\n'
            '  File "/venv/lib/python3.11/site-packages/lib/a.py", line 2, in send\n',
            "app.PaymentError at app/orders.py:41",
        ),
    ],
)
async def test_an_exception_in_words(
    exporter: CommonLogExporter, valkey: Redis, stacktrace: object, message: str
) -> None:
    """Of a traceback's text it takes the innermost place in the application's own code."""
    attributes = {"exception.type": "app.PaymentError", "exception.message": "for bob"}
    if stacktrace is not None:
        attributes["exception.stacktrace"] = stacktrace  # type: ignore[assignment]
    emit(provider_of(exporter).get_logger("orders"), "failed for bob", attributes=attributes)
    assert stats_of(exporter) == (1, 1, 0)
    assert await counted(valkey) == {message: 1}


async def test_a_message_of_ones_own(valkey_url: str, valkey: Redis) -> None:
    """The application may choose the message of each record; where that fails, a mark says so."""

    def message(record: ReadableLogRecord) -> str:
        return f"user {1 / record.log_record.attributes['user']}"

    exporter = CommonLogExporter(valkey_url, "shop", message)
    logger = provider_of(exporter).get_logger("orders")
    for user in (0, 1, 2):
        emit(logger, "m", attributes={"user": user})
    assert stats_of(exporter) == (3, 3, 0)
    mark = "<not logged: its message raised ZeroDivisionError>"
    assert await counted(valkey) == {"user 1.0": 1, "user 0.5": 1, mark: 1}


async def test_a_hook_that_logs(valkey_url: str, valkey: Redis) -> None:
    """What a hook itself logs to the exporter that called it is a number, and goes no further."""

    def message(record: ReadableLogRecord) -> str:
        emit(logger, "in the hook")
        return str(record.log_record.body)

    exporter = CommonLogExporter(valkey_url, "shop", message)
    logger = provider_of(exporter).get_logger("orders")
    emit(logger, "m")
    emit(logger, "m")
    assert stats_of(exporter) == (2, 2, 2)
    assert await counted(valkey) == {"m": 2}


def test_what_writing_causes_is_ignored(exporter: CommonLogExporter) -> None:
    """Records of the loggers that writing to Redis logs through are a number and nothing else."""
    provider = provider_of(exporter)
    for name in ("redis.asyncio.connection", "logcommon", "asyncio", "my.redis", "redis_of_mine"):
        emit(provider.get_logger(name), "m")
    assert stats_of(exporter) == (2, 2, 3)


async def test_it_never_raises(exporter: CommonLogExporter, valkey: Redis) -> None:
    """What is no record is a number; of one without a text a mark is counted; others go on."""

    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    kept = InMemoryLogRecordExporter()
    logger = provider_of(kept).get_logger("orders")  # type: ignore[arg-type]
    emit(logger, "m")
    emit(logger, Unprintable())
    emit(logger, "m")
    batch = kept.get_finished_logs()
    assert exporter.export([*batch, None]) is LogRecordExportResult.SUCCESS  # type: ignore[list-item]
    assert stats_of(exporter) == (3, 3, 1)
    assert await counted(valkey) == {"m": 2, "<not logged: its message raised RuntimeError>": 1}


@pytest.mark.parametrize("url", [None, NOWHERE])
def test_other_exporters_are_left_alone(valkey_url: str, url: str | None) -> None:
    """With the exporter another one gets what it gets without it."""
    results = []
    for added in (False, True):
        exporter = CommonLogExporter(url or valkey_url, drain_timeout=0)
        before, after = InMemoryLogRecordExporter(), InMemoryLogRecordExporter()
        provider = LoggerProvider(shutdown_on_exit=False)
        for each in (before, exporter, after):
            if added or each is not exporter:
                provider.add_log_record_processor(SimpleLogRecordProcessor(each))
        record = LogRecord(
            timestamp=1, observed_timestamp=2, body={"a": [1]}, attributes={"b": 2}, event_name="e"
        )
        provider.get_logger("orders").emit(record)
        provider.shutdown()
        logs = [*before.get_finished_logs(), *after.get_finished_logs()]
        results.append([log.to_json() for log in logs])
    assert results[0] == results[1]
    assert len(results[0]) == 2


@pytest.mark.parametrize("make", PROCESSORS)
async def test_many_threads(exporter: CommonLogExporter, valkey: Redis, make: Make) -> None:
    """Threads that log at once lose nothing and count nothing twice."""
    keep_all = {} if make is SimpleLogRecordProcessor else {"max_queue_size": 10_000}
    provider = provider_of(exporter, lambda exporter: make(exporter, **keep_all))
    logger = provider.get_logger("orders")
    messages = [f"message {number % 7}" for number in range(500)]

    def work() -> None:
        for message in messages:
            emit(logger, message)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider.shutdown()
    assert stats_of(exporter) == (4000, 4000, 0)
    assert await counted(valkey) == Counter(8 * messages)


async def test_force_flush(valkey_url: str, valkey: Redis) -> None:
    """It waits until Redis has everything, and gives up when its time is over."""
    exporter = CommonLogExporter(valkey_url, "shop", linger=3600)
    provider = provider_of(exporter)
    for number in (1, 2):
        emit(provider.get_logger("orders"), "m")
        assert exporter.force_flush()
        assert await counted(valkey) == {"m": number}
    provider.shutdown()
    away = CommonLogExporter("redis://127.0.0.1:1", "shop", drain_timeout=0)
    emit(provider_of(away).get_logger("orders"), "m")
    assert not away.force_flush(10)
    away.shutdown()
    assert away.stats.dropped_unwritten == 1


async def test_a_client_of_the_application(valkey_url: str, valkey: Redis) -> None:
    """Its client is left open, writes in its own time, and has its settings already."""
    async with logcommon.connect(valkey_url) as log:
        exporter = CommonLogExporter(log, "shop")
        assert exporter.force_flush()
        provider = provider_of(exporter)
        emit(provider.get_logger("orders"), "m")
        assert not exporter.force_flush()
        provider.shutdown()
        log.log_common_nowait("shop", "m")
        await log.flush()
        assert exporter.force_flush()
        assert await counted(valkey) == {"m": 2}
        assert exporter.stats.counted == log.stats.counted == 2
        with pytest.raises(logcommon.InvalidArgumentError, match="give linger there"):
            CommonLogExporter(log, linger=1)


@pytest.mark.parametrize("service", ["", "x" * 257, 7])
def test_a_service_that_can_not_be_used(service: str) -> None:
    """A mistake shows when the exporter is made, and not with each record."""
    with pytest.raises(logcommon.InvalidArgumentError, match="name must"):
        CommonLogExporter(NOWHERE, service)


@pytest.mark.parametrize("make", PROCESSORS)
def test_redis_is_down(make: Make) -> None:
    """Records are accepted, and when the provider is shut down they are a number."""
    exporter = CommonLogExporter(NOWHERE, "shop", drain_timeout=0)
    provider = provider_of(exporter, make)
    for _ in range(100):
        emit(provider.get_logger("orders"), "m")
    provider.shutdown()
    assert (exporter.stats.calls, exporter.stats.dropped_unwritten) == (100, 100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
@pytest.mark.parametrize("make", PROCESSORS)
async def test_a_fork(exporter: CommonLogExporter, valkey: Redis, make: Make) -> None:
    """A child counts its own records, and leaves those of its parent to the parent."""
    provider = provider_of(exporter, make)
    logger = provider.get_logger("orders")
    for _ in range(10):
        emit(logger, "parent")

    def work() -> None:
        for _ in range(5):
            emit(logger, "child")
        provider.shutdown()
        assert stats_of(exporter) == (5, 5, 0)

    assert [in_child(work), in_child(work)] == [0, 0]
    emit(logger, "parent")
    provider.shutdown()
    assert stats_of(exporter) == (11, 11, 0)
    assert await counted(valkey) == {"parent": 11, "child": 10}


PROGRAM = """
import atexit, sys
from opentelemetry.sdk._logs import LoggerProvider, export
from logcommon.integrations.opentelemetry import CommonLogExporter

provider = LoggerProvider()
exporter = CommonLogExporter(sys.argv[1], service="shop")
provider.add_log_record_processor(getattr(export, sys.argv[2])(exporter))
logger = provider.get_logger("orders")
atexit.register(lambda: logger.emit(body="at the exit"))
for number in range(2000):
    logger.emit(body="over the limit", attributes={"user": number})
"""


@pytest.mark.parametrize("make", PROCESSORS)
async def test_a_program_that_just_ends(valkey_url: str, valkey: Redis, make: Make) -> None:
    """A program that has no event loop and shuts nothing down has counted all when it is gone."""
    done = await asyncio.to_thread(run, PROGRAM, valkey_url, make.__name__)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert await counted(valkey) == {"over the limit": 2000, "at the exit": 1}
