"""A handler for the standard library's `logging`.

```python
import logging
from logcommon.integrations.logging import CommonLogHandler

logging.basicConfig(handlers=[CommonLogHandler("redis://localhost:6379/0", service="shop")])
logging.warning("user %s is over the limit", "bob")  # counted as "user %s is over the limit"
```
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from logcommon.background import INTERNAL_LOGGERS, log_for
from logcommon.client import CommonLog
from logcommon.messages.origin import origin_of
from logcommon.model import LONGEST_NAME, Destination, Severity
from logcommon.stats import Stats

_STANDARD_LEVELS = frozenset(
    {logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL}
)
_MOST_NAMES = 10_000

_ACCESS = "uvicorn.access"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class CommonLogHandler(logging.Handler):
    """Counts records, those of one logging call as one message whatever its arguments are.

    The message is the record's `msg` before its arguments are put in, or for an exception its type
    and where it was raised, as in `ValueError at app/orders.py:41`. A formatter is not used. The
    severity is the record's level, by its name where it is a level of the application's own.

    A call takes no lock, does no I/O, and needs no queue. A handler made with a URL writes from a
    thread of its own, also in a program without an event loop, and is flushed when the process
    ends. One made with a client leaves that to the client.

    Args:
        target: A URL, as for `connect`; or a client, to be opened and closed by the application.
        service: The name to count under, None for the name of the logger.
        message: Returns the message of a record, in place of the rule above. What it logs itself is
            not counted. Where it raises, a mark is counted in its place.
        level: As of every handler.
        settings: Keyword arguments of `connect`, where `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        message: Callable[[logging.LogRecord], str] | None = None,
        level: int | str = logging.NOTSET,
        **settings: Any,
    ) -> None:
        if service is not None:
            Destination.of(service, "info")  # now, and not with each record, is the time for it
        self._log = log_for(target, settings)
        super().__init__(level)
        self._service = service
        self._message = message or _message
        self._alone = message is None and self._log.settings.redact is None
        self._names: dict[str, str | None] = {}
        self._careful = _Careful()
        self.ignored: int = 0
        """Records not counted, because writing to Redis or the handler itself caused them."""

    @property
    def stats(self) -> Stats:
        """What has become of every record so far, other than those ignored."""
        return self._log.stats

    def createLock(self) -> None:  # noqa: N802  # logging's name
        """Make no lock: a call is safe from any thread as it is."""
        self.lock: None = None

    def handle(self, record: logging.LogRecord) -> "bool | logging.LogRecord":  # type: ignore[override]
        """Count a record unless a filter is against it, as every handler does, but without a lock.

        From Python 3.12 on a filter may put another record in its place.
        """
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record; never raises."""
        # A program that logs makes this call for each line: what is here is measured.
        try:
            try:
                name = self._names[record.name]
            except KeyError:
                name = self._name_of(record.name)
            severity: Severity = record.levelno
            if severity not in _STANDARD_LEVELS:
                severity = record.levelname
            if name is None and record.name == _ACCESS:
                self._count_request(record, severity)
            elif name is None or self._careful.now:
                self.ignored += 1  # atomic, like all that a thread does between two calls
            elif self._alone and not record.exc_info and record.msg.__class__ is str:
                self._log.log_common_nowait(name, record.msg, severity)
            else:
                self._count_carefully(name, record, severity)
        except Exception:  # noqa: BLE001  # what logging does with a handler that fails
            with contextlib.suppress(Exception):
                self.handleError(record)

    def flush(self) -> bool:  # type: ignore[override]  # more than `logging` asks for
        """Wait until what was logged is in Redis, for `drain_timeout` seconds at most.

        Returns whether it is. A client that was passed in is not waited for: its event loop may be
        the one that calls. While `logging` is being configured nothing is waited for either.
        """
        if isinstance(self._log, CommonLog) or _is_configuring():
            return self._log.stats.pending == 0
        return self._log.flush()

    def close(self) -> None:
        """Flush, within `drain_timeout`, and end the thread. The next record starts it again.

        `dictConfig` and `fileConfig` close every handler there is, also those that are still used.
        They are not held up: what is pending is written behind them.
        """
        if not isinstance(self._log, CommonLog):
            if _is_configuring():
                self._log.begin_close()
            else:
                self._log.close()
        super().close()

    def _name_of(self, logger: str) -> str | None:
        """Return the name to count a logger's records under, None to ignore them."""
        ours = logger.partition(".")[0] in INTERNAL_LOGGERS
        name = None if ours else self._service or logger[:LONGEST_NAME] or "root"
        if logger == _ACCESS and self._message is _message:
            name = None  # off the fast path
        if len(self._names) < _MOST_NAMES:
            self._names[logger] = name
        return name

    def _count_request(self, record: logging.LogRecord, severity: Severity) -> None:
        """Count a request by its method and status. Its path is whatever clients make up."""
        message = str(record.msg)
        if isinstance(record.args, tuple) and len(record.args) == 5:
            _, method, _, _, status = record.args
            message = f"{method if method in _METHODS else '<other>'} {status}"
        self._log.log_common_nowait(self._service or _ACCESS, message, severity)

    def _count_carefully(self, name: str, record: logging.LogRecord, severity: Severity) -> None:
        """Count a record with the help of code of others, and ignore what that code logs."""
        try:
            self._careful.now = True  # not before: an exception of a signal handler may come
            try:
                message = str(self._message(record))
            except Exception as error:  # noqa: BLE001  # a call must not raise for the hook's sake
                message = f"<not logged: its message raised {type(error).__name__}>"
            self._log.log_common_nowait(name, message, severity)
        finally:
            self._careful.now = False


class _Careful(threading.local):
    """Whether this thread is in the middle of code of others."""

    now = False


def _is_configuring() -> bool:
    """Whether this thread has the lock under which `logging` is configured.

    The thread that writes must not be waited for then. It may be waiting for that lock itself: the
    garbage collector, in whichever thread it runs, takes it to forget a handler.
    """
    is_owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return bool(is_owned and is_owned())


def _message(record: logging.LogRecord) -> str:
    error = record.msg
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        error = record.exc_info[1]
    return origin_of(error) if isinstance(error, BaseException) else error
