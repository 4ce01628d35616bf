"""Which of many equal records pass: the first few of each kind in an interval. No I/O."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from logcommon.exceptions import InvalidArgumentError

_Record = TypeVar("_Record")
_ENDED_AT_ONCE = 2
"""Intervals that are looked at for each record: more than can begin, so none waits for long."""


class Repeated(NamedTuple, Generic[_Record]):
    """What was suppressed in an interval that is over."""

    record: _Record
    """The last one."""
    times: int


@dataclass(slots=True)
class _Interval(Generic[_Record]):
    began: float
    record: _Record
    seen: int = 1


class Repeats(Generic[_Record]):
    """Counts records by kind, from any thread.

    Args:
        first: Records of a kind that pass in each interval.
        interval: Seconds.
        most: Kinds that are remembered. If there are more, the interval that began first ends.
        monotonic: Returns seconds.

    Raises:
        InvalidArgumentError: A number is too small.

    """

    def __init__(
        self, first: int, interval: float, most: int, monotonic: Callable[[], float]
    ) -> None:
        if first < 1 or interval <= 0 or most < 1:
            raise InvalidArgumentError(
                "first and most must be at least 1, and interval more than 0 seconds"
            )
        self.interval: float = interval
        self._first = first
        self._most = most
        self._monotonic = monotonic
        # In the order in which they began. Reentrant: a signal handler may log in between.
        self._intervals: dict[Hashable, _Interval[_Record]] = {}
        self._lock = threading.RLock()

    def see(self, kind: Hashable, record: _Record) -> tuple[bool, list[Repeated[_Record]]]:
        """Return whether a record passes, and what was suppressed in intervals that are over."""
        now = self._monotonic()
        with self._lock:
            ended = self._end_oldest(now)
            interval = self._intervals.get(kind)
            if interval is not None and self._is_over(interval, now):
                ended += self._end(kind)
                interval = None
            if interval is None:
                if len(self._intervals) >= self._most:
                    ended += self._end(next(iter(self._intervals)))
                self._intervals[kind] = _Interval(now, record)
                return True, ended

            interval.seen += 1
            interval.record = record
            return interval.seen <= self._first, ended

    def end_all(self) -> list[Repeated[_Record]]:
        """End all intervals, and return what was suppressed in them."""
        with self._lock:
            return [each for kind in list(self._intervals) for each in self._end(kind)]

    def _end_oldest(self, now: float) -> list[Repeated[_Record]]:
        ended: list[Repeated[_Record]] = []
        for _ in range(_ENDED_AT_ONCE):
            oldest = next(iter(self._intervals), None)
            if oldest is None or not self._is_over(self._intervals[oldest], now):
                break
            ended += self._end(oldest)
        return ended

    def _end(self, kind: Hashable) -> list[Repeated[_Record]]:
        interval = self._intervals.pop(kind)
        times = interval.seen - self._first
        return [Repeated(interval.record, times)] if times > 0 else []

    def _is_over(self, interval: _Interval[_Record], now: float) -> bool:
        return now - interval.began >= self.interval
