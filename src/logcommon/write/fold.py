"""Entries become counts: works out what folding them would change. No I/O.

Nothing that others can see is changed here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from sys import getsizeof
from typing import NamedTuple

from logcommon.model import (
    OTHER,
    RECENT_LENGTH,
    Destination,
    FixedText,
    Group,
    Hour,
    Minute,
    cut_message,
    hour_of,
    hour_of_minute,
    minute_of,
)
from logcommon.settings import Settings
from logcommon.write.batch import Counts, Entry, Minutes, Recent
from logcommon.write.templating import Templating

OVERFLOW = Destination(OTHER, OTHER)
"""The destination of calls that would need one destination too many."""

ENTRY_BYTES = 200
"""Bytes that a distinct message, or an entry, takes besides its text; rounded up."""

MINUTE_BYTES = 100
"""Bytes that the calls of a minute take; rounded up."""

_NO_COUNTS: Mapping[str, int] = {}
_NO_MINUTES: Mapping[Minute, int] = {}
_message_of, _time_of = itemgetter(0), itemgetter(1)


class Usage(NamedTuple):
    """How much memory counts and recent entries take."""

    distinct: int = 0
    """Distinct messages."""
    size: int = 0
    """Bytes that distinct messages and the calls of minutes take."""
    recent_limit: int = RECENT_LENGTH
    """Recent entries that a destination has at most."""


class Before(NamedTuple):
    """What there is before a fold."""

    counts: Counts
    minutes: Minutes
    recent: Recent
    usage: Usage
    """The memory that these take."""


class Fold:
    """The counts and recent entries that change as entries are added.

    Whatever exceeds a bound is counted as `<other>`, in its destination and hour, and in a minute
    that there is already.

    Args:
        before: What there is already.
        settings: The bounds.
        recent_limit: How many recent entries a destination may have from now on, at least 1.
        templating: If there is no room for a message, its template is counted.

    """

    def __init__(
        self,
        before: Before,
        settings: Settings,
        recent_limit: int,
        templating: Templating | None = None,
    ) -> None:
        self._counts_before, self._minutes_before, self._recent_before, usage = before
        self._distinct, self._size, self._recent_limit_before = usage
        self._recent_limit = recent_limit
        self._templating = templating
        self._longest = settings.max_message_bytes
        self._most_messages = settings.max_pending
        self._most_bytes = settings.max_pending_bytes
        self.counts: Counts = {}
        self.minutes: Minutes = {}
        self.recent: Recent = {}

    @property
    def usage(self) -> Usage:
        """The memory that is taken once the changes are made."""
        return Usage(self._distinct, self._size, self._recent_limit)

    def add(self, destination: Destination, entries: list[Entry], recent_only: list[Entry]) -> None:
        """Add entries of one destination, oldest first."""
        for hour, messages, minutes in _by_hour(entries):
            if destination == OVERFLOW:
                messages = [OTHER] * len(messages)
            self._count((destination, hour), Counter(messages))
            self._count_minutes((destination, hour), minutes)

        newest = entries[-self._recent_limit :]
        if recent_only:
            newest = sorted(newest + recent_only[-self._recent_limit :], key=_time_of)
        if self._templating is not None:  # messages were not cut yet, for the sake of the template
            newest = [(cut_message(message, self._longest), seconds) for message, seconds in newest]
        before = self._recent_before.get(destination, [])
        self.recent[destination] = (before + newest)[-self._recent_limit :]

    def trim_recent(self) -> None:
        """Apply a lower limit of recent entries to the destinations that nothing was added to."""
        if self._recent_limit < self._recent_limit_before:
            entries = {**self._recent_before, **self.recent}
            self.recent = {each: kept[-self._recent_limit :] for each, kept in entries.items()}

    def _count(self, group: Group, amounts: Mapping[str, int]) -> None:
        before = self._counts_before.get(group, _NO_COUNTS)
        changed = self.counts[group] = {
            message: before[message] + amount
            for message, amount in amounts.items()
            if message in before
        }
        if len(changed) == len(amounts):
            return

        for message, amount in amounts.items():
            if message not in before:
                key = self._key_for(message, before, changed)
                changed[key] = (changed.get(key) or before.get(key, 0)) + amount

    def _count_minutes(self, group: Group, amounts: Mapping[Minute, int]) -> None:
        before = self._minutes_before.get(group, _NO_MINUTES)
        changed = self.minutes[group] = {}
        for minute, amount in amounts.items():
            if minute not in before:
                if self._size + MINUTE_BYTES <= self._most_bytes:
                    self._size += MINUTE_BYTES
                elif before or changed:
                    minute = max({**before, **changed})
            changed[minute] = (changed.get(minute) or before.get(minute, 0)) + amount

    def _key_for(self, message: str, before: Mapping[str, int], changed: Mapping[str, int]) -> str:
        """Return what a new message is counted as: itself, its template or `<other>`."""
        if self._reserve(message):
            return message
        if self._templating is None:
            return OTHER
        template = self._templating.template_of(message)
        has_room = template in changed or template in before or self._reserve(template)
        return template if has_room else OTHER

    def _reserve(self, message: str) -> bool:
        """Reserve memory for a new message; return False if there is none left."""
        if message == OTHER:
            return True  # it must always find room
        size = self._size + getsizeof(message) + ENTRY_BYTES
        # With templates, half of the room is for these alone: many messages become few templates.
        parts = 2 if self._templating is not None and message.__class__ is not FixedText else 1
        if self._distinct >= self._most_messages // parts or size > self._most_bytes // parts:
            return False

        self._distinct, self._size = self._distinct + 1, size
        return True


def _by_hour(
    entries: Sequence[Entry],
) -> Iterable[tuple[Hour, Sequence[str], Mapping[Minute, int]]]:
    """Return the messages of each hour, and how many there are of each minute."""
    if not entries:
        return ()
    messages = list(map(_message_of, entries))

    # Sorting what is nearly in order takes less time than min() and max() do.
    times = sorted(map(_time_of, entries))
    first, last = minute_of(times[0]), minute_of(times[-1])
    if first == last:
        return [(hour_of_minute(first), messages, {first: len(messages)})]

    hours: dict[Hour, list[Entry]] = {}
    for entry in entries:
        hours.setdefault(hour_of(entry[1]), []).append(entry)
    return [
        (hour, list(map(_message_of, found)), Counter(minute_of(seconds) for _, seconds in found))
        for hour, found in hours.items()
    ]
