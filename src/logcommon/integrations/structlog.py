"""A processor for `structlog`. Extra `structlog`.

```python
import structlog
from logcommon.integrations.structlog import CommonLogProcessor

structlog.configure(
    processors=[
        CommonLogProcessor("redis://localhost:6379/0", service="shop"),
        *structlog.get_config()["processors"],
    ]
)
structlog.get_logger().info("over the limit", user="bob")  # counted as "over the limit"
```
"""

import sys
from typing import Any

from logcommon.background import INTERNAL_LOGGERS, log_for
from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra
from logcommon.messages.origin import origin_of
from logcommon.model import LONGEST_NAME, Destination
from logcommon.stats import Stats

with require_extra("structlog>=25"):
    from structlog.typing import EventDict, WrappedLogger

_SEVERITIES = {
    "debug": "debug",
    "info": "info",
    "msg": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
    "fatal": "critical",
}


class CommonLogProcessor:
    """Counts events, and hands each on as it is.

    The message is the `event` without the values bound to it, or for an exception its type and
    where it was raised, as in `ValueError at app/orders.py:41`. The severity is the `level` that
    `add_log_level` has set, else the method's. Of records of the standard library that come through
    a `ProcessorFormatter` the message is the `msg`, before its arguments are put in.

    Its place is after what drops events, as `filter_by_level`, and before what changes them:
    `PositionalArgumentsFormatter`, `format_exc_info`, `EventRenamer`, renderers. Where an event is
    in doubt, look at what comes before it in the chain: that is what is counted.

    A processor takes no lock and does no I/O in the call. One made with a URL writes from a thread
    of its own, and is flushed when the process ends. One made with a client leaves that to the
    client.

    Args:
        target: A URL, as for `connect`; or a client, to be opened and closed by the application.
        service: The name to count under, None for the name of the standard library's logger or else
            the event's `logger`, and `structlog` where there is neither.
        settings: Keyword arguments of `connect`, where `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        **settings: Any,
    ) -> None:
        if service is not None:
            Destination.of(service, "info")  # now, and not with each event, is the time for it
        self._log = log_for(target, settings)
        self._service = service
        self.ignored: int = 0
        """Events not counted: writing to Redis caused them, or there is no message to be had."""

    @property
    def stats(self) -> Stats:
        """What has become of every event so far, other than those ignored."""
        return self._log.stats

    def __call__(self, logger: WrappedLogger, method_name: str, event_dict: EventDict) -> EventDict:
        """Count an event, and return it; never raises."""
        try:
            name = _name(logger, event_dict)
            message = _message(event_dict)
            if message is None or name.partition(".")[0] in INTERNAL_LOGGERS:
                self.ignored += 1
            else:
                name = self._service or name[:LONGEST_NAME]
                severity = _severity(method_name, event_dict.get("level"))
                self._log.log_common_nowait(name, message, severity)
        except Exception:  # noqa: BLE001  # the next processor must get the event
            self.ignored += 1
        return event_dict

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was logged is in Redis; return whether it is.

        A client that was passed in is not waited for: its event loop may be the one that calls.

        Args:
            timeout: Seconds to wait at most, None for `drain_timeout`.

        """
        if isinstance(self._log, CommonLog):
            return self._log.stats.pending == 0
        return self._log.flush(timeout)

    def close(self) -> None:
        """Flush, within `drain_timeout`, if the client is the processor's own."""
        if not isinstance(self._log, CommonLog):
            self._log.close()


def _name(logger: WrappedLogger, event_dict: EventDict) -> str:
    """Return the name of the logger, or a word for it where it has none."""
    record = event_dict.get("_record")  # in a ProcessorFormatter
    for name in (getattr(record or logger, "name", None), event_dict.get("logger")):
        if isinstance(name, str) and name:
            return name
    return "structlog"


def _message(event_dict: EventDict) -> str | None:
    event = _error(event_dict.get("exc_info")) or event_dict.get("event")
    if event_dict.get("_from_structlog") is False and not isinstance(event, BaseException):
        event = event_dict["_record"].msg  # the event has the arguments in it
    if isinstance(event, BaseException):
        return origin_of(event)
    return None if event is None else str(event)


def _error(exc_info: object) -> BaseException | None:
    """Return the exception that structlog takes this for."""
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _severity(method_name: str, level: object) -> str:
    # The application may bind a `level` that is something else altogether.
    known = _SEVERITIES.get(level.lower()) if isinstance(level, str) else None
    return known or _SEVERITIES.get(method_name, method_name)
