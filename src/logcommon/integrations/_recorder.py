"""What the logger integrations share: a client, and how it counts a record."""

from collections.abc import Callable, Mapping
from typing import Any

from logcommon.background import INTERNAL_LOGGERS, BackgroundLog, log_for
from logcommon.client import CommonLog
from logcommon.model import LONGEST_NAME, Destination, Severity
from logcommon.runtime.reentrancy import ReentrancyGuard
from logcommon.stats import Stats


class Recorder:
    """Counts the records of a logger.

    Args:
        target: A URL, as for `connect`; or a client, which the application opens and closes.
        service: The name to count under, None for a name that depends on the record.
        message: Returns the message of a record, or None to ignore it.
        settings: Keyword arguments of `connect`, if `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog,
        service: str | None,
        message: Callable[[Any], object],
        settings: Mapping[str, Any],
    ) -> None:
        if service is not None:
            Destination.of(service, "info")  # refuse a bad name now, not with each record
        self._log = log_for(target, settings)
        self._background = self._log if isinstance(self._log, BackgroundLog) else None
        self._service = service
        self._message = message
        self._guard = ReentrancyGuard()
        self.ignored: int = 0
        """Records not counted: writing to Redis caused them, or they have no message."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} service={self._service!r} log={self._log!r}>"

    @property
    def stats(self) -> Stats:
        """What became of every record so far, except those ignored."""
        return self._log.stats

    def close(self) -> None:
        """Write what is pending, for `drain_timeout` seconds at most. The next record opens it.

        A client that was passed in stays open.
        """
        if self._background is not None:
            self._background.close()

    def _flush(self, timeout: float | None = None) -> bool:
        """Wait until Redis has everything logged so far; return whether it has.

        A client that was passed in is not waited for: the caller may block its event loop.

        Args:
            timeout: Seconds to wait at most, None for `drain_timeout`.

        """
        if self._background is None:
            return self._log.stats.pending == 0
        return self._background.flush(timeout)

    def _name_for(self, logger: str, default: str | None = None) -> str | None:
        """Return the name to count a logger's records under, None if writing to Redis uses it.

        Args:
            logger: The name of the logger.
            default: The name if no service was given, None for the logger's.

        """
        if logger.partition(".")[0] in INTERNAL_LOGGERS:
            return None
        return self._service or (default or logger)[:LONGEST_NAME]

    def _count(self, name: str | None, record: Any, severity: Severity) -> None:
        """Count a record; ignore one without a name or message, or one that a hook logs."""
        thread = self._guard.thread
        if name is None or thread.is_inside:
            self._ignore()
            return

        try:
            thread.is_inside = True
            message = self._text(record)
            if message is None:
                self._ignore()
            else:
                self._log.log_common_nowait(name, message, severity)
        finally:
            thread.is_inside = False

    def _ignore(self) -> None:
        self.ignored += 1  # atomic: CPython switches threads only at calls and jumps back

    def _text(self, record: Any) -> str | None:
        """Return the message of a record, or a marker if that raises."""
        try:
            message = self._message(record)
            return message if message is None or isinstance(message, str) else str(message)
        except Exception as error:  # noqa: BLE001  # a hook must not raise in the application's call
            return f"<not logged: its message raised {type(error).__name__}>"
