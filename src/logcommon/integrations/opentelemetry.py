"""An exporter of logs for OpenTelemetry's SDK. Extra `opentelemetry`.

```python
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from logcommon.integrations.opentelemetry import CommonLogExporter

provider = LoggerProvider()
exporter = CommonLogExporter("redis://localhost:6379/0", service="shop")
provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
provider.get_logger("orders").emit(body="over the limit", attributes={"user": "bob"})
```
"""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra
from logcommon.integrations._recorder import Recorder
from logcommon.messages.origin import is_application_code, origin_of
from logcommon.model import FixedText

with require_extra("opentelemetry-sdk>=1.39"):
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

_UNKNOWN = "unknown_service"
"""The beginning of the name that the SDK gives a service without one."""

_SEVERITIES = ("trace", "debug", "info", "warning", "error", "critical")
"""For severity numbers 1 to 4, 5 to 8, …"""

_SEVERITY_TEXTS = {"": "info", "warn": "warning", "fatal": "critical"}

_FRAME = re.compile(r'^  File "(.+)", line (\d+), in ', re.MULTILINE)


class CommonLogExporter(Recorder, LogRecordExporter):
    """Counts log records by the name of the event, or else the body, without the attributes.

    An exception counts by its type and place instead, as in `ValueError at app/orders.py:41`.
    Handlers of `logging` put the arguments into the body, so each user may become a message: choose
    another with `message`, or count with `logcommon.integrations.logging` instead.

    An export waits for nothing, so use a `SimpleLogRecordProcessor`. A `BatchLogRecordProcessor`
    counts in the hour in which it exports, and what it drops is not counted. With a URL, a thread
    writes in the background, and what is pending is written when the `LoggerProvider` shuts down,
    which it does by itself when the interpreter exits.

    Args:
        target: A URL, as for `connect`; or a client, which the application opens and closes.
        service: The name to count under, None for the `service.name` of the resource, or else the
            name of the logger (the instrumentation scope), or else `unknown_service`.
        message: Returns the message of a record, or None to ignore it; replaces the rule above.
            Records that it logs itself are ignored. If it raises, a marker is counted instead.
        settings: Keyword arguments of `connect`, if `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        message: Callable[[ReadableLogRecord], str | None] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(target, service, message or _message, settings)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Count records. Never raises, and always returns success."""
        for record in batch:
            try:
                self._count(self._name_of(record), record, _severity(record))
            except Exception:  # noqa: BLE001  # the others must still be counted
                self._ignore()
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until Redis has everything exported so far; return whether it has.

        A client that was passed in is not waited for: the caller may block its event loop.
        """
        return self._flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Close. The `LoggerProvider` calls it."""
        self.close()

    def _name_of(self, record: ReadableLogRecord) -> str | None:
        scope = record.instrumentation_scope
        logger = scope.name if scope else ""
        if self._service is not None:
            return self._name_for(logger)
        return self._name_for(logger, _service_of(record) or logger or _UNKNOWN)


def _service_of(record: ReadableLogRecord) -> str | None:
    name = record.resource.attributes.get("service.name")
    return name if isinstance(name, str) and not name.startswith(_UNKNOWN) else None


def _severity(record: ReadableLogRecord) -> str:
    number = record.log_record.severity_number
    if number is not None and number.value > 0:
        return _SEVERITIES[(number.value - 1) // 4]
    text = (record.log_record.severity_text or "").lower()
    return _SEVERITY_TEXTS.get(text, text)


def _message(record: ReadableLogRecord) -> str | None:
    log_record = record.log_record
    error = getattr(log_record, "exception", None)  # newer versions keep it
    if error is not None:
        return origin_of(error)

    attributes = log_record.attributes or {}
    if "exception.type" in attributes:
        stacktrace = attributes.get("exception.stacktrace")
        return _origin_of_text(attributes["exception.type"], stacktrace)

    if log_record.event_name or log_record.body is None:
        return log_record.event_name
    return str(log_record.body)


def _origin_of_text(name: object, stacktrace: object) -> str:
    """Return what `origin_of` would, from the text of a traceback."""
    frames = _FRAME.findall(str(stacktrace))
    if not frames:
        return FixedText(name)
    in_application = [frame for frame in frames if is_application_code(frame[0])]
    file, line = (in_application or frames)[-1]
    return FixedText(f"{name} at {'/'.join(PurePath(file).parts[-2:])}:{line}")
