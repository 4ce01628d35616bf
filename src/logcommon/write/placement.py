"""Where the messages of a batch are counted, and which of them a set may take. No I/O."""

import heapq
from collections.abc import Collection
from dataclasses import dataclass

from logcommon.model import OTHER, Group, encode_message
from logcommon.schema.commands import Command, Reply
from logcommon.schema.keys import DestinationKeys, destination_keys
from logcommon.schema.rotation import Turn, turn
from logcommon.write.batch import Batch
from logcommon.write.watch import Watched, is_wrong_type


@dataclass(frozen=True, slots=True)
class Placement:
    """One group of a batch, and the set in which its messages are counted."""

    group: Group
    keys: DestinationKeys
    messages: dict[str, int]
    turn: Turn
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
        needed = turn(keys, states[destination], hour, history_hours)
        states[destination] = needed.state
        members = watched.members[destination]
        capacity = _capacity(needed, keys, members, len(messages), max_members)
        placements.append(Placement(group, keys, messages, needed, capacity))

    return placements


def _capacity(
    needed: Turn, keys: DestinationKeys, members: int, wanted: int, max_members: int
) -> int | None:
    if needed.fresh or needed.target is None:
        return max_members
    capacity = max_members - members
    return capacity if needed.target == keys.current and capacity >= wanted else None


def inspect_commands(placement: Placement) -> list[Command]:
    """Return the commands that read the size of a set, and which of the messages it has."""
    target = placement.turn.target
    assert target is not None  # noqa: S101  # `_capacity` is None only if there is a target
    return [
        (b"ZCARD", target),
        (b"ZMSCORE", target, *map(encode_message, placement.messages)),
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
