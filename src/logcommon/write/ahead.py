"""What a clock that is ahead has logged is counted in the server's hour. Pure.

An hour turns for every producer of a destination. So a clock that is far ahead would make the
entries of all others late, and soon too late.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from operator import itemgetter

from logcommon.model import HOUR_SECONDS, OTHER, Group, hour_of
from logcommon.schema.rotation import first_hour_ahead
from logcommon.write.batch import Batch, Entry


@dataclass(frozen=True, slots=True)
class Ahead:
    """What of a batch was logged by a clock that is ahead."""

    groups: dict[Group, Group] = field(default_factory=dict)
    """Each group that is counted in the server's hour, and the group of that hour."""
    amounts: dict[Group, Counter[str]] = field(default_factory=dict)
    """How much of what is counted in a group of the server's hour belongs to another hour."""
    lead: float = 0.0
    """By how many seconds the clock was ahead."""

    def share(self, group: Group, admitted: Collection[str]) -> Counter[str]:
        """Return what of a group's messages was moved there, with those refused as `<other>`."""
        share: Counter[str] = Counter()
        for message, amount in self.amounts.get(group, {}).items():
            share[message if message in admitted else OTHER] += amount
        return share


NOTHING_AHEAD = Ahead()


def is_ahead(batch: Batch, server_time: float, most: float) -> bool:
    """Tell whether a batch has an hour that begins more than `most` seconds after that time."""
    first = first_hour_ahead(server_time, most)
    return any(hour >= first for _, hour in batch.counts)


def pull_back(batch: Batch, server_time: float, most: float) -> tuple[Batch, Ahead]:
    """Return a batch with what is more than `most` seconds ahead moved to the server's hour.

    Entries of the recent log get the server's time, or they would seem to come from the future.
    """
    first = first_hour_ahead(server_time, most)
    placed = hour_of(server_time)
    groups = {group: (group[0], placed) for group in batch.counts if group[1] >= first}
    recent = {
        destination: _restamped(entries, first, server_time)
        for destination, entries in batch.recent.items()
    }
    if not groups:
        return Batch(batch.counts, recent, batch.number), NOTHING_AHEAD

    ahead = Ahead(groups, lead=_lead(batch, server_time))
    counts = {group: messages for group, messages in batch.counts.items() if group not in groups}
    for group, target in groups.items():
        amounts = ahead.amounts.setdefault(target, Counter())
        amounts.update(batch.counts[group])
    for target, amounts in ahead.amounts.items():
        counts[target] = dict(amounts + Counter(counts.get(target, {})))
    return Batch(counts, recent, batch.number), ahead


def _lead(batch: Batch, server_time: float) -> float:
    hours = [float(hour * HOUR_SECONDS) for _, hour in batch.counts]
    times = [seconds for entries in batch.recent.values() for _, seconds in entries]
    return max(hours + times) - server_time


def _restamped(entries: list[Entry], first: float, server_time: float) -> list[Entry]:
    begins = first * HOUR_SECONDS
    if max(map(itemgetter(1), entries), default=0) < begins:
        return entries
    return [(message, seconds if seconds < begins else server_time) for message, seconds in entries]
