"""Where the messages of a batch are counted: in which hour, and in which set. No I/O.

What a clock far ahead of the server's has logged counts in the server's hour. An hour turns for
every producer of a destination, so one such clock would make the entries of all others late, and
soon too late.

A set takes a bounded number of messages. What exceeds the bound counts as `<other>` in the same
set.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter

from logcommon.model import HOUR_SECONDS, OTHER, Group, Minute, encode_message, hour_of, minute_of
from logcommon.schema.commands import Command, Reply
from logcommon.schema.keys import DestinationKeys, destination_keys
from logcommon.schema.rotation import HourPlan, first_hour_ahead, plan_hour
from logcommon.write.batch import Batch, Entry, Examples, Minutes, add_amounts
from logcommon.write.watch import Watched, is_wrong_type


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
        return replace(batch, recent=recent), NOTHING_MOVED

    moved = Moved(groups, lead=_lead(batch, server_time))
    counts = {group: messages for group, messages in batch.counts.items() if group not in groups}
    for group, moved_to in groups.items():
        moved.amounts.setdefault(moved_to, Counter()).update(batch.counts[group])
    for moved_to, amounts in moved.amounts.items():
        counts[moved_to] = dict(amounts + Counter(counts.get(moved_to, {})))
    examples = _moved_examples(batch.examples, groups)
    minutes = _moved_minutes(batch.minutes, groups, minute_of(server_time))
    return replace(batch, counts=counts, recent=recent, examples=examples, minutes=minutes), moved


def _moved_examples(examples: Examples, groups: Mapping[Group, Group]) -> Examples:
    moved: Examples = {}
    for group, found in examples.items():
        moved.setdefault(groups.get(group, group), {}).update(found)
    return moved


def _moved_minutes(minutes: Minutes, groups: Mapping[Group, Group], now: Minute) -> Minutes:
    moved: Minutes = {}
    for group, calls in minutes.items():
        amounts = {now: sum(calls.values())} if group in groups else calls
        add_amounts(moved.setdefault(groups.get(group, group), {}), amounts)
    return moved


def _lead(batch: Batch, server_time: float) -> float:
    hours = [float(hour * HOUR_SECONDS) for _, hour in batch.counts]
    times = [seconds for entries in batch.recent.values() for _, seconds in entries]
    return max(hours + times) - server_time


def _restamped(entries: list[Entry], first: float, server_time: float) -> list[Entry]:
    begins = first * HOUR_SECONDS
    if max(map(itemgetter(1), entries), default=0) < begins:
        return entries
    return [(message, seconds if seconds < begins else server_time) for message, seconds in entries]


@dataclass(frozen=True, slots=True)
class Placement:
    """One group of a batch, and the set in which its messages are counted."""

    group: Group
    keys: DestinationKeys
    messages: dict[str, int]
    plan: HourPlan
    capacity: int | None
    """How many more messages the set may take. None if the set has to be inspected first, to see
    which of these messages it has already."""


def place(batch: Batch, watched: Watched, history_hours: int, max_members: int) -> list[Placement]:
    """Return where each group of a batch is counted, the oldest hours first."""
    states = dict(watched.states)
    placements = []

    for group in sorted(batch.counts, key=lambda group: group[1]):
        destination, hour = group
        if destination in watched.wrong_type:
            continue
        keys, messages = destination_keys(destination), batch.counts[group]
        needed = plan_hour(keys, states[destination], hour, history_hours)
        states[destination] = needed.state
        members = watched.members[destination]
        capacity = _capacity(needed, keys, members, len(messages), max_members)
        placements.append(Placement(group, keys, messages, needed, capacity))

    return placements


def _capacity(
    needed: HourPlan, keys: DestinationKeys, members: int, wanted: int, max_members: int
) -> int | None:
    if needed.is_empty or needed.key is None:
        return max_members
    capacity = max_members - members
    return capacity if needed.key == keys.current and capacity >= wanted else None


def inspect_commands(placement: Placement) -> list[Command]:
    """Return the commands that read the size of a set, and which of the messages it has."""
    key = placement.plan.key
    assert key is not None  # noqa: S101  # `_capacity` is None only if there is a key
    return [
        (b"ZCARD", key),
        (b"ZMSCORE", key, *map(encode_message, placement.messages)),
    ]


def admit(messages: dict[str, int], present: Collection[str], capacity: int) -> dict[str, int]:
    """Return what to count in a set that may take `capacity` more messages.

    Messages that are present are counted as they are, and so are the most frequent of the others,
    as far as the capacity goes. The rest is counted as `<other>`, so the sum stays the same.
    """
    absent = [message for message in messages if message not in present and message != OTHER]
    if len(absent) <= max(capacity, 0):
        return messages

    chosen = set(heapq.nlargest(max(capacity, 0), absent, key=messages.__getitem__))
    refused = set(absent) - chosen
    admitted = {message: n for message, n in messages.items() if message not in refused}
    admitted[OTHER] = admitted.get(OTHER, 0) + sum(messages[message] for message in refused)
    return admitted


def admit_inspected(
    messages: dict[str, int], size: Reply, scores: Reply, max_members: int
) -> dict[str, int]:
    """Return what to count in a set, by the replies to `inspect_commands`.

    Raises:
        redis.exceptions.ResponseError: Redis refused to read the set.

    """
    for reply in (size, scores):
        if isinstance(reply, Exception):
            if not is_wrong_type(reply):
                raise reply  # counting nevertheless would exceed the bound, unnoticed
            return messages  # Redis will refuse to count them, and that is reported

    present = {
        message for message, score in zip(messages, scores, strict=True) if score is not None
    }
    return admit(messages, present, max_members - size)
