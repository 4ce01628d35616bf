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
import threading
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from logcommon.background import INTERNAL_LOGGERS, log_for
from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra
from logcommon.messages.origin import is_application_code, origin_of
from logcommon.model import LONGEST_NAME, Destination
from logcommon.stats import Stats

with require_extra("opentelemetry-sdk>=1.39"):
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

_UNKNOWN = "unknown_service"
"""What the SDK begins the name of a service with that has not been given one."""

_SEVERITIES = ("trace", "debug", "info", "warning", "error", "critical")
"""Of severity numbers 1 to 4, 5 to 8, …"""

_TEXTS = {"": "info", "warn": "warning", "fatal": "critical"}

_PLACE = re.compile(r'^  File "(.+)", line (\d+), in ', re.MULTILINE)


class CommonLogExporter(LogRecordExporter):
    """Counts log records.

    The message is the name of the event, where the record has one, else the body; or for an
    exception its type and where it was raised, as in `ValueError at app/orders.py:41`. What other
    attributes there are is left alone. Handlers of `logging` put the arguments into the body, so
    there each user may be a message: `message` can choose another, and records of `logging` are
    better counted by `logcommon.integrations.logging`.

    An export does no I/O and waits for nothing, so that it is best called by a
    `SimpleLogRecordProcessor`. A `BatchLogRecordProcessor` counts in the hour in which it exports,
    and what it drops is not counted.

    One made with a URL writes from a thread of its own, and is flushed when the `LoggerProvider`
    shuts down, which it does by itself at the interpreter's exit. One made with a client leaves
    that to the client.

    Args:
        target: A URL, as for `connect`; or a client, to be opened and closed by the application.
        service: The name to count under, None for the `service.name` of the resource, or else the
            name of the logger, which is that of the instrumentation scope, or else
            `unknown_service`.
        message: Returns the message of a record, in place of the rule above. What it logs itself is
            not counted. Where it raises, a mark is counted in its place.
        settings: Keyword arguments of `connect`, where `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        message: Callable[[ReadableLogRecord], str] | None = None,
        **settings: Any,
    ) -> None:
        if service is not None:
            Destination.of(service, "info")  # now, and not with each record, is the time for it
        self._log = log_for(target, settings)
        self._service = service
        self._message: Callable[[ReadableLogRecord], str | None] = message or _message
        self._busy = threading.local()
        self.ignored: int = 0
        """Records not counted: writing to Redis caused them, or there is no message to be had."""

    @property
    def stats(self) -> Stats:
        """What has become of every record so far, other than those ignored."""
        return self._log.stats

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Count records; never raises, and never fails as a whole."""
        for record in batch:
            try:
                self._count(record)
            except Exception:  # noqa: BLE001  # the others are to be counted
                self.ignored += 1
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until what was exported is in Redis; return whether it is.

        A client that was passed in is not waited for: its event loop may be the one that calls.
        """
        if isinstance(self._log, CommonLog):
            return self._log.stats.pending == 0
        return self._log.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Close. The `LoggerProvider` calls it."""
        self.close()

    def close(self) -> None:
        """Flush, within `drain_timeout`, if the client is the exporter's own."""
        if not isinstance(self._log, CommonLog):
            self._log.close()

    def _count(self, record: ReadableLogRecord) -> None:
        logger = record.instrumentation_scope.name if record.instrumentation_scope else ""
        message = None if logger.partition(".")[0] in INTERNAL_LOGGERS else self._text(record)
        if message is None:
            self.ignored += 1
        else:
            name = self._service or (_service_of(record) or logger or _UNKNOWN)[:LONGEST_NAME]
            self._log.log_common_nowait(name, message, _severity(record))

    def _text(self, record: ReadableLogRecord) -> str | None:
        """Return a message that takes code of others to make, None where that code logs."""
        if getattr(self._busy, "composing", False):
            return None
        try:
            self._busy.composing = True  # not before: an exception of a signal handler may come
            return self._message(record)
        except Exception as error:  # noqa: BLE001  # a call must not raise for the hook's sake
            return f"<not logged: its message raised {type(error).__name__}>"
        finally:
            self._busy.composing = False


def _service_of(record: ReadableLogRecord) -> str | None:
    name = record.resource.attributes.get("service.name")
    return name if isinstance(name, str) and not name.startswith(_UNKNOWN) else None


def _severity(record: ReadableLogRecord) -> str:
    number = record.log_record.severity_number
    if number is not None and number.value > 0:
        return _SEVERITIES[(number.value - 1) // 4]
    text = (record.log_record.severity_text or "").lower()
    return _TEXTS.get(text, text)


def _message(record: ReadableLogRecord) -> str | None:
    log_record = record.log_record
    error = getattr(log_record, "exception", None)  # newer versions keep it
    if error is not None:
        return origin_of(error)
    attributes = log_record.attributes or {}
    if "exception.type" in attributes:
        return _origin_of_text(attributes["exception.type"], attributes.get("exception.stacktrace"))
    if log_record.event_name or log_record.body is None:
        return log_record.event_name
    return str(log_record.body)


def _origin_of_text(name: object, stacktrace: object) -> str:
    """Return what `origin_of` does, as far as a formatted traceback tells it."""
    places = _PLACE.findall(str(stacktrace))
    if not places:
        return str(name)
    own = [place for place in places if is_application_code(place[0])]
    file, line = (own or places)[-1]
    return f"{name} at {'/'.join(PurePath(file).parts[-2:])}:{line}"
