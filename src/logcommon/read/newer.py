"""Which entries of a recent log are new since it was read before. No I/O.

A recent log has neither numbers nor exact times, and equal entries are common. What two readings
have in common says how many are new, and where that is ambiguous, the calls of each minute do.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from logcommon.model import Destination, Minute, NewEntries, RecentRow
from logcommon.read.overview import merge_recent


class Snapshot(NamedTuple):
    """The recent log of a destination, and the calls of each minute, at one moment."""

    entries: list[RecentRow]
    """The newest first."""
    minutes: Mapping[Minute, int]


_NOTHING = Snapshot([], {})


class Follower:
    """Remembers the last snapshot of each destination."""

    def __init__(self, found: Mapping[Destination, Snapshot]) -> None:
        self._last = dict(found)

    def newest(self, n: int) -> NewEntries:
        """Return the `n` newest entries that were there at first."""
        rows = merge_recent((each.entries for each in self._last.values()), n)
        return NewEntries(tuple(reversed(rows)), {})

    def look(self, found: Mapping[Destination, Snapshot]) -> NewEntries:
        """Return what is new in later snapshots."""
        fresh: list[Sequence[RecentRow]] = []
        missed: dict[Destination, int] = {}
        for destination, now in found.items():
            before = self._last.get(destination, _NOTHING)
            calls = _calls_between(before, now)
            entries = now.entries[: _count_new(before.entries, now.entries, calls)]
            fresh.append(entries)
            if calls > len(entries):
                missed[destination] = calls - len(entries)
        self._last.update(found)

        rows = merge_recent(fresh, sum(map(len, fresh)))
        return NewEntries(tuple(reversed(rows)), missed)


def _calls_between(before: Snapshot, now: Snapshot) -> int:
    return sum(
        max(0, calls - before.minutes.get(minute, 0)) for minute, calls in now.minutes.items()
    )


def _count_new(before: list[RecentRow], now: list[RecentRow], calls: int) -> int:
    possible = [count for count in range(len(now) + 1) if now[count:] == before[: len(now) - count]]
    # The last one means that they have nothing in common, which is always possible.
    if len(possible) > 1 and now[-1].time != before[0].time:
        return possible[0]

    # All that they have in common is of one second: it may be equal by coincidence.
    return next(count for count in possible if count >= min(calls, len(now)))
