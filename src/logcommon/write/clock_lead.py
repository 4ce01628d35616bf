"""Entries that a clock far ahead of the server's has logged count in the server's hour. No I/O.

An hour turns for every producer of a destination. One clock that is far ahead would make the
entries of all other producers late, and soon too late.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from operator import itemgetter

from logcommon.model import OTHER, Group, hour_of
from logcommon.schema.rotation import HOUR_SECONDS, first_hour_ahead
from logcommon.write.batch import Batch, Entry


@dataclass(frozen=True, slots=True)
class Moved:
    """What of a batch was moved to the server's hour."""

    groups: dict[Group, Group] = field(default_factory=dict)
    """Each group that was moved, and the group of the server's hour that it was added to."""
    amounts: dict[Group, Counter[str]] = field(default_factory=dict)
    """How much of each group of the server's hour was logged in another hour."""
    lead: float = 0.0
    """By how many seconds the clock was ahead."""

    def amounts_in(self, group: Group, admitted: Collection[str]) -> Counter[str]:
        """Return how much was moved to each message of a group; not admitted ones are `<other>`."""
        amounts: Counter[str] = Counter()
        for message, amount in self.amounts.get(group, {}).items():
            amounts[message if message in admitted else OTHER] += amount
        return amounts


NOTHING_MOVED = Moved()


def is_ahead(batch: Batch, server_time: float, most: float) -> bool:
    """Return whether a batch has an hour that begins more than `most` seconds after that time."""
    first = first_hour_ahead(server_time, most)
    return any(hour >= first for _, hour in batch.counts)


def move_to_server_hour(batch: Batch, server_time: float, most: float) -> tuple[Batch, Moved]:
    """Return a batch in which no hour begins more than `most` seconds after the server's time.

    Entries of the recent log get the server's time, so that they don't appear to be of the future.
    """
    first = first_hour_ahead(server_time, most)
    server_hour = hour_of(server_time)
    groups = {group: (group[0], server_hour) for group in batch.counts if group[1] >= first}
    recent = {
        destination: _restamped(entries, first, server_time)
        for destination, entries in batch.recent.items()
    }
    if not groups:
        return Batch(batch.counts, recent, batch.number), NOTHING_MOVED

    moved = Moved(groups, lead=_lead(batch, server_time))
    counts = {group: messages for group, messages in batch.counts.items() if group not in groups}
    for group, target in groups.items():
        moved.amounts.setdefault(target, Counter()).update(batch.counts[group])
    for target, amounts in moved.amounts.items():
        counts[target] = dict(amounts + Counter(counts.get(target, {})))
    return Batch(counts, recent, batch.number), moved


def _lead(batch: Batch, server_time: float) -> float:
    hours = [float(hour * HOUR_SECONDS) for _, hour in batch.counts]
    times = [seconds for entries in batch.recent.values() for _, seconds in entries]
    return max(hours + times) - server_time


def _restamped(entries: list[Entry], first: float, server_time: float) -> list[Entry]:
    begins = first * HOUR_SECONDS
    if max(map(itemgetter(1), entries), default=0) < begins:
        return entries
    return [(message, seconds if seconds < begins else server_time) for message, seconds in entries]
