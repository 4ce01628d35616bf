"""Emitting log records with OpenTelemetry."""

import time
from collections.abc import Callable, Mapping

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AnyValue

from logcommon.integrations.opentelemetry import CommonLogExporter

PROCESSORS = [SimpleLogRecordProcessor, BatchLogRecordProcessor]

MakeProcessor = Callable[..., LogRecordProcessor]


def provider_of(
    exporter: CommonLogExporter,
    make: MakeProcessor = SimpleLogRecordProcessor,
    attributes: Mapping[str, str] | None = None,
) -> LoggerProvider:
    """Return a provider with this exporter alone, which the test shuts down."""
    resource = Resource.create(attributes) if attributes else None
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(make(exporter))
    return provider


def emit(
    logger: Logger,
    body: AnyValue,
    severity: SeverityNumber | None = SeverityNumber.INFO,
    *,
    severity_text: str | None = None,
    event_name: str | None = None,
    attributes: Mapping[str, AnyValue] | None = None,
    exception: BaseException | None = None,
) -> None:
    """Emit one record, as an instrumentation does."""
    now = time.time_ns()
    logger.emit(
        LogRecord(
            timestamp=now,
            observed_timestamp=now,
            severity_number=severity,
            severity_text=severity_text,
            body=body,
            event_name=event_name,
            attributes=attributes,
            exception=exception,
        )
    )
