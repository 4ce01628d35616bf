"""What a log record of OpenTelemetry is counted as."""

import logging
import warnings
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler, ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.opentelemetry import CommonLogExporter
from support.recorders import PLACE, counted, fail, stats_of
from support.telemetry import PROCESSORS, MakeProcessor, emit, provider_of

PLACE_IN_TEXT = "ValueError at " + "/".join(PLACE.split(" at ")[1].split("/")[-2:])
"""The same, if there is only the text of a traceback."""


@pytest.mark.parametrize("make", PROCESSORS)
async def test_records_are_counted(
    exporter: CommonLogExporter, valkey: Redis, make: MakeProcessor
) -> None:
    """Each record is counted once by its body, whatever its attributes are."""
    provider = provider_of(exporter, make)
    logger = provider.get_logger("orders")
    for number in range(1000):
        emit(logger, "over the limit", attributes={"user": number})
    emit(logger, "over the limit", SeverityNumber.WARN)
    provider.shutdown()
    assert stats_of(exporter) == (1001, 1001, 0)
    assert await counted(valkey, "shop") == {"over the limit": 1000}
    assert await counted(valkey, "shop", "warning") == {"over the limit": 1}


async def test_the_name_of_an_event(exporter: CommonLogExporter, valkey: Redis) -> None:
    """An event counts by its name, any other record by the text of its body."""
    logger = provider_of(exporter).get_logger("orders")
    emit(logger, {"user": 7}, event_name="limit.passed")
    emit(logger, None, event_name="limit.passed")
    emit(logger, {"user": 7})
    emit(logger, 7)
    emit(logger, "")
    emit(logger, None)
    assert stats_of(exporter) == (5, 5, 1)
    assert await counted(valkey, "shop") == {"limit.passed": 2, "{'user': 7}": 1, "7": 1, "": 1}


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
    """The severity is the number's, or else the text's, or else `info`."""
    emit(provider_of(exporter).get_logger("orders"), "m", number, severity_text=text)
    assert stats_of(exporter) == (1, 1, 0)
    assert await counted(valkey, "shop", severity) == {"m": 1}


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
    """The name is the service, the resource's, the logger's, or else `unknown_service`."""
    async with logcommon.connect(valkey_url) as log:
        provider = provider_of(CommonLogExporter(log, service), attributes=attributes)
        emit(provider.get_logger(scope), "m")
        await log.flush()
        assert [name for name, _ in await log.destinations()] == [expected]


async def test_a_record_of_nothing_but_a_body(valkey_url: str, valkey: Redis) -> None:
    """A record counts even without scope, severity, attributes and service name."""
    exporter = CommonLogExporter(valkey_url)
    record = LogRecord(body="m")
    assert record.attributes is None
    exporter.export([ReadableLogRecord(record, Resource({}))])
    assert stats_of(exporter) == (1, 1, 0)
    assert await counted(valkey, "unknown_service") == {"m": 1}


@pytest.mark.parametrize("make", PROCESSORS)
async def test_an_exception_is_its_type_and_place(
    exporter: CommonLogExporter, valkey: Redis, make: MakeProcessor
) -> None:
    """An exception in a record counts by its type and where it was raised."""
    provider = provider_of(exporter, make)
    for number in range(3):
        try:
            fail()
        except ValueError as error:
            body = f"failed for {number}"
            emit(provider.get_logger("orders"), body, SeverityNumber.ERROR, exception=error)
    provider.shutdown()

    assert stats_of(exporter) == (3, 3, 0)
    assert await counted(valkey, "shop", "error") == {PLACE: 3}


def logging_handler(provider: LoggerProvider) -> logging.Handler:
    """Return the SDK's own handler of `logging`, which is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return LoggingHandler(logger_provider=provider)


async def test_records_of_the_standard_library(exporter: CommonLogExporter, valkey: Redis) -> None:
    """Their body has the arguments in it, and an exception is only text."""
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
    assert await counted(valkey, "shop", "warning") == {"user bob": 1}
    assert await counted(valkey, "shop", "error") == {
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
async def test_an_exception_as_text(
    exporter: CommonLogExporter, valkey: Redis, stacktrace: object, message: str
) -> None:
    """The place is the innermost one of the application in the text of the traceback."""
    attributes = {"exception.type": "app.PaymentError", "exception.message": "for bob"}
    if stacktrace is not None:
        attributes["exception.stacktrace"] = stacktrace  # type: ignore[assignment]
    emit(provider_of(exporter).get_logger("orders"), "failed for bob", attributes=attributes)
    assert stats_of(exporter) == (1, 1, 0)
    assert await counted(valkey, "shop") == {message: 1}


async def test_a_message_of_ones_own(valkey_url: str, valkey: Redis) -> None:
    """`message` chooses from the whole record; if it raises, a marker is counted."""

    def message(record: ReadableLogRecord) -> str:
        attributes: Any = record.log_record.attributes
        return f"user {1 / attributes['user']}"

    exporter = CommonLogExporter(valkey_url, "shop", message)
    logger = provider_of(exporter).get_logger("orders")
    for user in (0, 1, 2):
        emit(logger, "m", attributes={"user": user})
    assert stats_of(exporter) == (3, 3, 0)
    mark = "<not logged: its message raised ZeroDivisionError>"
    assert await counted(valkey, "shop") == {"user 1.0": 1, "user 0.5": 1, mark: 1}
