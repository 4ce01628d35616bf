"""Entries become counts: what folding them would change. No I/O; nothing shared is changed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from sys import getsizeof
from typing import NamedTuple

from logcommon.model import OTHER, RECENT_LENGTH, Destination, Group, Hour, hour_of
from logcommon.settings import Settings
from logcommon.write.batch import Counts, Entry, Recent

OVERFLOW = Destination(OTHER, OTHER)
"""Where calls are counted that would need one destination too many."""

ENTRY_BYTES = 200
"""What a distinct message, or an entry, takes beside its text; rounded up."""

_NOTHING: Mapping[str, int] = {}
_message_of, _time_of = itemgetter(0), itemgetter(1)


class Room(NamedTuple):
    """How much of a buffer's room is taken."""

    distinct: int = 0
    size: int = 0
    """Bytes of memory that distinct messages take."""
    keep: int = RECENT_LENGTH
    """How many recent entries a destination has at most."""


class Fold:
    """The counts and recent entries that change as entries are added, as they are then.

    What exceeds a bound is counted as `<other>`, in its destination and hour.

    Args:
        counts: The counts before.
        recent: The recent entries before.
        room: The room that these take.
        settings: The bounds.
        keep: How many recent entries a destination may have from now on, at least 1.

    """

    def __init__(
        self, counts: Counts, recent: Recent, room: Room, settings: Settings, keep: int
    ) -> None:
        self._before = counts
        self._recent_before = recent
        self._distinct, self._size, self._kept = room
        self._keep = keep
        self._most_messages = settings.max_pending
        self._most_bytes = settings.max_pending_bytes
        self.counts: Counts = {}
        self.recent: Recent = {}

    @property
    def room(self) -> Room:
        """The room that is taken then."""
        return Room(self._distinct, self._size, self._keep)

    def add(self, destination: Destination, entries: list[Entry], recent_only: list[Entry]) -> None:
        """Add entries of one destination, oldest first."""
        for hour, messages in _by_hour(entries):
            if destination == OVERFLOW:
                messages = [OTHER] * len(messages)
            self._count((destination, hour), Counter(messages))

        newest = entries[-self._keep :]
        if recent_only:
            newest = sorted(newest + recent_only[-self._keep :], key=_time_of)
        before = self._recent_before.get(destination, [])
        self.recent[destination] = (before + newest)[-self._keep :]

    def thin_out(self) -> None:
        """If destinations have become many, let those that were there before keep fewer entries."""
        if self._keep < self._kept:
            kept = {**self._recent_before, **self.recent}
            self.recent = {each: entries[-self._keep :] for each, entries in kept.items()}

    def _count(self, group: Group, amounts: Mapping[str, int]) -> None:
        before = self._before.get(group, _NOTHING)
        changed = self.counts[group] = {
            message: before[message] + amount
            for message, amount in amounts.items()
            if message in before
        }
        if len(changed) == len(amounts):
            return
        for message, amount in amounts.items():
            if message not in before:
                kept = message if self._has_room_for(message) else OTHER
                changed[kept] = (changed.get(kept) or before.get(kept, 0)) + amount

    def _has_room_for(self, message: str) -> bool:
        """Take room for a new message if there is some; `<other>` needs none."""
        if message == OTHER:
            return True
        size = self._size + getsizeof(message) + ENTRY_BYTES
        if self._distinct >= self._most_messages or size > self._most_bytes:
            return False
        self._distinct, self._size = self._distinct + 1, size
        return True


def _by_hour(entries: Sequence[Entry]) -> Iterable[tuple[Hour, Sequence[str]]]:
    if not entries:
        return ()
    messages = list(map(_message_of, entries))
    # What is nearly in order is sorted in less time than min() and max() take.
    times = sorted(map(_time_of, entries))
    first, last = hour_of(times[0]), hour_of(times[-1])
    if first == last:
        return [(first, messages)]
    hours: dict[Hour, list[str]] = {}
    for message, seconds in entries:
        hours.setdefault(hour_of(seconds), []).append(message)
    return hours.items()
