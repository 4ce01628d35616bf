"""A handler for the standard library's `logging`.

```python
import logging
from logcommon.integrations.logging import CommonLogHandler

logging.basicConfig(handlers=[CommonLogHandler("redis://localhost:6379/0", service="shop")])
logging.warning("user %s is over the limit", "bob")  # counted as "user %s is over the limit"
```
"""

import atexit
import contextlib
import logging
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from logcommon.client import CommonLog
from logcommon.integrations._recorder import Recorder
from logcommon.integrations._repeats import Repeated, Repeats
from logcommon.messages.origin import origin_of
from logcommon.messages.templates import template
from logcommon.model import FixedText, Severity

_STANDARD_LEVELS = frozenset(
    {logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL}
)
_MOST_NAMES = 10_000
_SUMMARY = "logcommon_summary"
"""The attribute of records that sum up others."""

_ACCESS_LOG = "uvicorn.access"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class CommonLogHandler(Recorder, logging.Handler):
    """Counts records by message, before the arguments are put in.

    An exception counts by its type and place instead, as in `ValueError at app/orders.py:41`. The
    severity is the record's level; for a level of the application's own, its name. A formatter has
    no effect.

    A call takes no lock and does no I/O, so it needs no queue. With a URL, a thread writes in the
    background, and what is pending is written when the process ends.

    Args:
        target: A URL, as for `connect`; or a client, which the application opens and closes.
        service: The name to count under, None for the logger's name.
        message: Returns the message of a record, or None to ignore it; replaces the rule above.
            Records that it logs itself are ignored. If it raises, a marker is counted instead.
        level: The lowest level to count, as for every handler.
        settings: Keyword arguments of `connect`, if `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        message: Callable[[logging.LogRecord], str | None] | None = None,
        level: int | str = logging.NOTSET,
        **settings: Any,
    ) -> None:
        Recorder.__init__(self, target, service, message or _message, settings)
        logging.Handler.__init__(self, level)
        self._has_hooks = message is not None or self._log.settings.redact is not None
        self._has_templates = self._log.settings.template is not None
        self._names: dict[str, str | None] = {}

    def __repr__(self) -> str:
        level = logging.getLevelName(self.level)
        return f"<{type(self).__name__} service={self._service!r} level={level} log={self._log!r}>"

    def createLock(self) -> None:  # noqa: N802  # logging's name
        """Make no lock: a call is thread-safe without one."""
        self.lock: None = None

    def handle(self, record: logging.LogRecord) -> "bool | logging.LogRecord":  # type: ignore[override]
        """Count a record that passes the filters, as every handler does, but without a lock.

        From Python 3.12 on, a filter may replace the record.
        """
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record; never raises."""
        # This runs for each line that a program logs, so most records take a fast path.
        try:
            try:
                name = self._names[record.name]
            except KeyError:
                name = self._remember(record.name)
            severity: Severity = record.levelno
            if severity not in _STANDARD_LEVELS:
                severity = record.levelname

            if (
                name is None
                or self._has_hooks
                or record.exc_info
                or record.msg.__class__ is not str
                or (self._has_templates and record.args)
                or self._guard.thread.is_inside
            ):
                self._count(name or self._counted_name(record.name), record, severity)
            else:
                self._log.log_common_nowait(name, record.msg, severity)
        except Exception:  # noqa: BLE001  # what logging does with a handler that fails
            with contextlib.suppress(Exception):
                self.handleError(record)

    def flush(self) -> bool:  # type: ignore[override]  # more than `logging` asks for
        """Wait until Redis has everything logged so far, for `drain_timeout` seconds at most.

        Returns whether it has. A client that was passed in is not waited for: the caller may block
        its event loop. Nor is anything waited for while `logging` is being configured.
        """
        return self._log.stats.pending == 0 if _is_configuring() else self._flush()

    def close(self) -> None:
        """Write what is pending, for `drain_timeout` seconds at most. The next record opens it.

        `dictConfig` and `fileConfig` close every handler, also those still in use. They don't wait:
        a thread writes what is pending. A client that was passed in stays open.
        """
        if self._background is not None and _is_configuring():
            self._background.begin_close()
        else:
            Recorder.close(self)
        logging.Handler.close(self)

    def _remember(self, logger: str) -> str | None:
        """Return the name for a logger's records, None if `emit` must not take the fast path."""
        name = None if logger == _ACCESS_LOG else self._counted_name(logger)
        if len(self._names) < _MOST_NAMES:
            self._names[logger] = name
        return name

    def _counted_name(self, logger: str) -> str | None:
        return self._name_for(logger, logger or "root")


def _is_configuring() -> bool:
    """Return whether this thread holds the lock under which `logging` is configured.

    It must not wait for the thread that writes, which may be waiting for this lock: whichever
    thread collects garbage takes it to forget a handler.
    """
    is_owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return bool(is_owned and is_owned())


class RepeatFilter(logging.Filter):
    """Keeps a storm of equal messages out of a log: the first few pass, then one line sums up.

    The line is like `node <num> does not answer … repeated 12,431 times in 60 s`. It comes with the
    first record after the interval, of whatever kind, or at the end of the process. Records are
    equal if their logger, level and template are; exceptions, if their type and place are. This
    needs no server, and works in any thread.

    Args:
        handler: Gets the summaries, and should be the one that the filter is added to. None to log
            them to the logger of the record, for a filter in `dictConfig`: then all its handlers
            get them.
        first: Equal records that pass in each interval.
        interval: Seconds.
        most: Kinds of records that are remembered. If there are more, the summary of the one that
            began first comes early.
        template: Returns the template of a message without arguments.
        monotonic: Returns seconds.

    Raises:
        InvalidArgumentError: A number is too small.

    """

    def __init__(
        self,
        handler: logging.Handler | None = None,
        *,
        first: int = 5,
        interval: float = 60.0,
        most: int = 10_000,
        template: Callable[[str], str] = template,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._handler = handler
        self._template = template
        self._repeats: Repeats[logging.LogRecord] = Repeats(first, interval, most, monotonic)
        atexit.register(_sum_up, weakref.ref(self))

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes; never raises."""
        if hasattr(record, _SUMMARY):
            return True
        try:
            kind = (record.name, record.levelno, self._text(record))
            passes, ended = self._repeats.see(kind, record)
        except Exception:  # noqa: BLE001  # a hook of the application, or an odd record
            return True
        self._log(ended)
        return passes

    def sum_up(self) -> None:
        """Log what was suppressed so far, and begin anew."""
        self._log(self._repeats.end_all())

    def _text(self, record: logging.LogRecord) -> str:
        message = _message(record)
        return message if message.__class__ is FixedText else self._template(message)

    def _log(self, ended: Iterable[Repeated[logging.LogRecord]]) -> None:
        for repeated in ended:
            with contextlib.suppress(Exception):
                summary = self._summary(*repeated)
                if self._handler is None:
                    logging.getLogger(summary.name).handle(summary)
                elif summary.levelno >= self._handler.level:
                    self._handler.handle(summary)

    def _summary(self, record: logging.LogRecord, times: int) -> logging.LogRecord:
        text, unit = self._text(record), "time" if times == 1 else "times"
        fields = {
            "name": record.name,
            "levelno": record.levelno,
            "levelname": record.levelname,
            "pathname": record.pathname,
            "filename": record.filename,
            "module": record.module,
            "lineno": record.lineno,
            "funcName": record.funcName,
            "msg": "%s … repeated %s %s in %g s",
            "args": (text, f"{times:,}", unit, self._repeats.interval),
            _SUMMARY: True,
        }
        return logging.makeLogRecord(fields)


def _sum_up(reference: "weakref.ref[RepeatFilter]") -> None:
    if (repeats := reference()) is not None:
        repeats.sum_up()


def _message(record: logging.LogRecord) -> str:
    if record.name == _ACCESS_LOG:
        return _request(record)
    error = record.msg
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        error = record.exc_info[1]
    if isinstance(error, BaseException):
        return origin_of(error)
    return FixedText(error) if record.args else str(error)


def _request(record: logging.LogRecord) -> str:
    """Return the method and status of a request, without the path, which clients can make up."""
    if not isinstance(record.args, tuple) or len(record.args) != 5:
        return str(record.msg)
    _, method, _, _, status = record.args
    return FixedText(f"{method if method in _METHODS else '<other>'} {status}")
