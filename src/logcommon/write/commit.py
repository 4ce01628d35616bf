"""A batch becomes a transaction, and its replies an outcome. Pure: the I/O is the committer's.

A destination's hours are watched with the producer's marker, the number of its last committed
batch. The transaction rotates, counts and sets the marker, so it is executed once whatever the
network does with it: whichever attempt is first changes the marker under all the others.
"""

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from logcommon.commands import Command, Reply, count, push_recent, register
from logcommon.keys import DestinationKeys, destination_keys
from logcommon.model import OTHER, Destination, Group, encode_message
from logcommon.rotation import HourState, Turn, is_missing_set, turn
from logcommon.stats import Outcome
from logcommon.write.buffer import Batch

MARKER_SECONDS = 24 * 3600
"""How long a marker outlives its producer's last commit."""


class Marker(NamedTuple):
    """Which batch of a producer was committed last, and by which of the attempts at it."""

    number: int = 0
    attempt: int = 0

    def command(self, key: bytes) -> Command:
        """Return the command that sets the marker."""
        return (b"SET", key, b"%d.%d" % self, b"EX", MARKER_SECONDS)

    @classmethod
    def read(cls, value: bytes | None) -> "Marker":
        """Return the marker for its value in Redis."""
        return cls(*map(int, value.split(b"."))) if value else cls()


@dataclass(frozen=True, slots=True)
class Armed:
    """What was read under WATCH: the ground on which the next transaction is decided."""

    marker: Marker
    states: dict[Destination, HourState]
    members: dict[Destination, int]
    """How many messages the current set has."""


def arm(marker_key: bytes, destinations: Sequence[Destination]) -> list[Command]:
    """Return the commands that watch the marker and where destinations stand, and read both."""
    keys = [destination_keys(destination) for destination in destinations]
    watched = [marker_key, *(key for each in keys for key in (each.start, each.previous_start))]
    return [
        (b"WATCH", *watched),
        (b"MGET", *watched),
        *((b"ZCARD", each.current) for each in keys),
    ]


def read_armed(destinations: Sequence[Destination], replies: Sequence[Reply]) -> Armed:
    """Return what the replies to `arm` say.

    Raises:
        redis.exceptions.ResponseError: Redis refused to watch or to read.

    """
    watched, values, *members = replies
    for reply in (watched, values):
        if isinstance(reply, Exception):
            raise reply
    marker, *hours = values
    states = map(HourState.read, hours[::2], hours[1::2])
    return Armed(
        Marker.read(marker),
        dict(zip(destinations, states, strict=True)),
        # A key of another type has no members; counting in it is refused, and reported then.
        {
            destination: size if isinstance(size, int) else 0
            for destination, size in zip(destinations, members, strict=True)
        },
    )


@dataclass(frozen=True, slots=True)
class Placement:
    """One group of a batch, and the set in which its messages are to be counted."""

    group: Group
    keys: DestinationKeys
    messages: dict[str, int]
    turn: Turn
    room: int | None
    """How many more messages the set may take, None where it takes a look into the set to tell
    which of the messages it can take."""


def place(batch: Batch, armed: Armed, history_hours: int, max_members: int) -> list[Placement]:
    """Return where each group of a batch is counted, the oldest hours first."""
    states = dict(armed.states)
    placements = []
    for group in sorted(batch.counts, key=lambda group: group[1]):
        destination, hour = group
        keys, messages = destination_keys(destination), batch.counts[group]
        step = turn(keys, states[destination], hour, history_hours)
        states[destination] = step.state
        room = _room(step, keys, armed.members[destination], len(messages), max_members)
        placements.append(Placement(group, keys, messages, step, room))
    return placements


def _room(
    step: Turn, keys: DestinationKeys, members: int, wanted: int, max_members: int
) -> int | None:
    if step.fresh or step.target is None:
        return max_members
    room = max_members - members
    return room if step.target == keys.current and room >= wanted else None


def look(placement: Placement) -> list[Command]:
    """Return the commands that read how full a set is, and which of the messages it has."""
    target = placement.turn.target
    assert target is not None  # noqa: S101  # without a target there is nothing to look into
    return [
        (b"ZCARD", target),
        (b"ZMSCORE", target, *map(encode_message, placement.messages)),
    ]


def admit(messages: dict[str, int], present: Collection[str], room: int) -> dict[str, int]:
    """Return what to count: those present, the most frequent others while there is room, `<other>`.

    The amounts stay the same in sum.
    """
    absent = [message for message in messages if message not in present and message != OTHER]
    if len(absent) <= room:
        return messages
    chosen = set(heapq.nlargest(max(room, 0), absent, key=messages.__getitem__))
    refused = set(absent) - chosen
    admitted = {message: n for message, n in messages.items() if message not in refused}
    admitted[OTHER] = admitted.get(OTHER, 0) + sum(messages[message] for message in refused)
    return admitted


def admit_seen(
    messages: dict[str, int],
    size: Reply,
    scores: Reply,
    max_members: int,
) -> dict[str, int]:
    """Return what to count in a set, from the replies to `look`."""
    if isinstance(size, Exception) or isinstance(scores, Exception):
        return messages  # the wrong type: counting is refused, and reported then
    present = {
        message for message, score in zip(messages, scores, strict=True) if score is not None
    }
    return admit(messages, present, max_members - size)


class _Step(NamedTuple):
    command: Command
    group: Group | None = None
    amount: int = 0
    is_other: bool = False
    is_late: bool = False


class Transaction:
    """The commands between MULTI and EXEC for one batch, and what their replies mean."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._too_late: dict[Group, int] = {}

    @property
    def commands(self) -> list[Command]:
        """The commands, in order."""
        return [step.command for step in self._steps]

    def add(self, *commands: Command) -> None:
        """Append commands that count nothing."""
        self._steps.extend(map(_Step, commands))

    def count(self, placement: Placement, messages: dict[str, int]) -> None:
        """Append what moves the hour, if need be, and counts `messages`."""
        step, group = placement.turn, placement.group
        if step.target is None:
            self._too_late[group] = sum(messages.values())
            return
        self.add(*step.before)
        is_late = step.target != placement.keys.current
        for message, amount in messages.items():
            command = count(step.target, amount, message)
            self._steps.append(_Step(command, group, amount, message == OTHER, is_late))
        self.add(*step.after)

    def outcome(self, results: Sequence[Reply] | None = None) -> Outcome:
        """Return what became of the calls, by the results of EXEC; without them, if all went well.

        A command that fails inside EXEC fails alone.
        """
        outcome = Outcome(too_late=sum(self._too_late.values()))
        for group in self._too_late:
            outcome.errors[group] = "the hour is older than what is kept"
        for step, result in zip(self._steps, results or [None] * len(self._steps), strict=True):
            if isinstance(result, Exception):
                self._note_failure(outcome, step, result)
                continue
            outcome.late += step.amount * step.is_late
            if step.is_other:
                outcome.other += step.amount
            else:
                outcome.counted += step.amount
        return outcome

    @staticmethod
    def _note_failure(outcome: Outcome, step: _Step, error: Exception) -> None:
        if is_missing_set(step.command, error):
            return
        outcome.failure = f"{error} on {step.command[1]!r}"
        outcome.refused += step.amount
        if step.group is not None:
            outcome.errors[step.group] = str(error)


def transaction(
    batch: Batch, admitted: Iterable[tuple[Placement, dict[str, int]]], mark: Command
) -> Transaction:
    """Return the transaction for a batch whose messages are placed and admitted."""
    made = Transaction()
    for placement, messages in admitted:
        made.count(placement, messages)
    for destination, entries in batch.recent.items():
        made.add(*push_recent(destination_keys(destination), entries))
    made.add(register(sorted(batch.destinations)), mark)
    return made
