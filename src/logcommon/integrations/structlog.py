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
import time
from collections.abc import Callable, Hashable
from typing import Any

from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra
from logcommon.integrations._recorder import Recorder
from logcommon.integrations._repeats import Repeats
from logcommon.messages.origin import origin_of
from logcommon.messages.templates import template
from logcommon.model import FixedText

with require_extra("structlog>=25"):
    from structlog import DropEvent
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


class CommonLogProcessor(Recorder):
    """Counts events by `event`, without the values bound to them, and passes each on unchanged.

    An exception counts by its type and place instead, as in `ValueError at app/orders.py:41`. The
    severity is the `level` that `add_log_level` has set, or else the method's. A record of the
    standard library that comes through a `ProcessorFormatter` counts by its `msg`, before the
    arguments are put in.

    An event is counted as it is at this place in the chain: after processors that drop events, such
    as `filter_by_level`, and before those that change them, such as `PositionalArgumentsFormatter`,
    `format_exc_info`, `EventRenamer` and renderers.

    A call does no I/O. With a URL, a thread writes in the background, and what is pending is
    written when the process ends.

    Args:
        target: A URL, as for `connect`; or a client, which the application opens and closes.
        service: The name to count under, None for the name of the standard library's logger, or
            else the event's `logger`, or else `structlog`.
        settings: Keyword arguments of `connect`, if `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(target, service, _message, settings)

    def __call__(self, logger: WrappedLogger, method_name: str, event_dict: EventDict) -> EventDict:
        """Count an event, and return it; never raises."""
        try:
            name = self._name_for(_logger_name(logger, event_dict))
            severity = _severity(method_name, event_dict.get("level"))
            self._count(name, event_dict, severity)
        except Exception:  # noqa: BLE001  # the next processor must get the event
            self._ignore()
        return event_dict

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until Redis has everything logged so far; return whether it has.

        A client that was passed in is not waited for: the caller may block its event loop.

        Args:
            timeout: Seconds to wait at most, None for `drain_timeout`.

        """
        return self._flush(timeout)

    def _text(self, record: EventDict) -> str | None:
        return _message(record)  # if it raises, the event is ignored


def _logger_name(logger: WrappedLogger, event_dict: EventDict) -> str:
    record = event_dict.get("_record")  # in a ProcessorFormatter
    for name in (getattr(record or logger, "name", None), event_dict.get("logger")):
        if isinstance(name, str) and name:
            return name
    return "structlog"


def _message(event_dict: EventDict) -> str | None:
    event = _exception(event_dict.get("exc_info")) or event_dict.get("event")
    if event_dict.get("_from_structlog") is False and not isinstance(event, BaseException):
        event = event_dict["_record"].msg  # the event has the arguments in it
    if isinstance(event, BaseException):
        return origin_of(event)
    return None if event is None else FixedText(event)


def _exception(exc_info: object) -> BaseException | None:
    """Return the exception that structlog takes `exc_info` for."""
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _severity(method_name: str, level: object) -> str:
    # The application may bind a `level` that is not a severity.
    known = _SEVERITIES.get(level.lower()) if isinstance(level, str) else None
    return known or _SEVERITIES.get(method_name, method_name)


class RepeatProcessor:
    """Keeps a storm of equal events out of a log: the first few pass, the others are dropped.

    Events are equal if their logger, level and the template of their `event` are. The next one of a
    kind that passes after the interval has the number that was dropped, as `repeated=12431`. It
    needs no server, and works in any thread. Put it first, or behind the processor that counts.

    Args:
        first: Equal events that pass in each interval.
        interval: Seconds.
        most: Kinds of events that are remembered. If there are more, the one that began first is
            forgotten.
        template: Returns the template of an event.
        monotonic: Returns seconds.

    Raises:
        InvalidArgumentError: A number is too small.

    """

    def __init__(
        self,
        *,
        first: int = 5,
        interval: float = 60.0,
        most: int = 10_000,
        template: Callable[[str], str] = template,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._template = template
        self._repeats: Repeats[Hashable] = Repeats(first, interval, most, monotonic)
        self._dropped: dict[Hashable, int] = {}
        self._most = most

    def __call__(self, logger: WrappedLogger, method_name: str, event_dict: EventDict) -> EventDict:
        """Return an event that passes; raise DropEvent for one that does not."""
        try:
            level = _severity(method_name, event_dict.get("level"))
            name = _logger_name(logger, event_dict)
            kind = (name, level, self._template(str(event_dict.get("event"))))
            passes, ended = self._repeats.see(kind, kind)
        except Exception:  # noqa: BLE001  # a hook of the application, or an odd event
            return event_dict

        for record, times in ended:
            if len(self._dropped) >= self._most:
                self._dropped.pop(next(iter(self._dropped)), None)
            self._dropped[record] = self._dropped.get(record, 0) + times
        if not passes:
            raise DropEvent
        dropped = self._dropped.pop(kind, 0)
        return {**event_dict, "repeated": dropped} if dropped else event_dict
