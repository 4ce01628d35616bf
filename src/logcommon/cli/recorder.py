"""Logs the records of files: where each is counted, and what the summary says. No I/O."""

import time

from logcommon.cli.formats.record import Record
from logcommon.client import CommonLog
from logcommon.model import LONGEST_NAME, Destination, FixedText, Hour, hour_of, hour_start
from logcommon.stats import Stats

HISTORY_HOURS = 31 * 24
"""Hours that are kept of what is read from files: these may be old, and in any order."""

_MOST_REMEMBERED = 10_000


class Recorder:
    """Logs records as if each were logged now, with a clock that has the record's time.

    Args:
        name: The service that all belong to, None for the one that each names.
        severity: The severity of all, None for the one that each has.
        is_raw: Whether messages are counted as they are.

    """

    def __init__(self, name: str | None, severity: str | None, *, is_raw: bool) -> None:
        self._name = name
        self._severity = severity
        self._is_raw = is_raw
        self._time: float | None = None
        self._hours: tuple[Hour, Hour] | None = None
        self._destinations: set[Destination] = set()

        self.lines: int = 0
        """Lines that were read."""

    def clock(self) -> float:
        """Return the time of the record that is logged at the moment, or else the time now."""
        return time.time() if self._time is None else self._time

    def put(self, log: CommonLog, record: Record, default_name: str) -> None:
        """Log a record; `default_name` is the service if neither it nor the user names one."""
        name = self._name or (record.name or "").strip()[:LONGEST_NAME] or default_name
        severity = self._severity or (record.severity or "")[:LONGEST_NAME] or "info"
        is_template = record.template is not None and not self._is_raw
        message = FixedText(record.template) if is_template else record.message

        self._time = record.time
        try:
            log.log_common_nowait(name, message, severity)
        finally:
            self._time = None
        self._remember(Destination.of(name, severity), record.time)

    def summary(self, stats: Stats) -> str:
        """Return in a line what was read, where it is, and what became of it."""
        read = f"{self.lines:,} line{'' if self.lines == 1 else 's'}"
        if stats.calls != self.lines:
            read += f", {stats.calls:,} message{'' if stats.calls == 1 else 's'},"
        return (
            f"{read}{self._where()}{self._when()}: "
            f"{stats.other:,} of them as <other>, {stats.dropped:,} dropped"
        )

    def _remember(self, destination: Destination, seconds: float | None) -> None:
        if len(self._destinations) < _MOST_REMEMBERED:
            self._destinations.add(destination)
        if seconds is not None:
            hour = hour_of(seconds)
            first, last = self._hours or (hour, hour)
            self._hours = min(first, hour), max(last, hour)

    def _where(self) -> str:
        if len(self._destinations) > 1:
            return f" to {len(self._destinations):,} destinations"
        return "".join(f" to {name} ({severity})" for name, severity in self._destinations)

    def _when(self) -> str:
        if self._hours is None:
            return ""
        first, last = map(hour_start, self._hours)
        until = "" if first == last else f" to {last:%Y-%m-%d %H}:00"
        return f", {first:%Y-%m-%d %H}:00{until} UTC"
