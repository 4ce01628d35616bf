"""A batch becomes a transaction, and its replies an outcome. Pure: the I/O is the committer's.

A destination's hours are watched with the producer's marker, the number of its last committed
batch. The transaction rotates, counts and sets the marker, so it is executed once whatever the
network does with it: whichever attempt is first changes the marker under all the others.
"""

import heapq
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from logcommon.model import HOUR_SECONDS, OTHER, Destination, Group, encode_message
from logcommon.schema.commands import Command, Reply, count, push_recent, register
from logcommon.schema.keys import DestinationKeys, destination_keys
from logcommon.schema.rotation import HourPlan, HourState, is_missing_set, plan_hour
from logcommon.stats import Outcome
from logcommon.write.ahead import NOTHING_AHEAD, Ahead
from logcommon.write.batch import Batch, Entry

MARKER_SECONDS = 24 * HOUR_SECONDS
"""How long a marker outlives its producer's last commit."""

TRANSACTION_SIZE = 1_000
"""Distinct messages of one transaction: Redis serves nobody else while it executes one."""

# An earlier version wrote a number and an attempt alone. Its attempt is nobody's then.
_MARKER = re.compile(rb"(\d+)\.(\d+)(?:\.([0-9a-f]+)\.(\d+))?")


class Marker(NamedTuple):
    """Which batch of a producer was committed last, and by which of the attempts at it.

    With a copy of a spool, two sessions may write the same batch: `session` tells whose attempt it
    was, and `edition` which form of the batch.
    """

    number: int = 0
    attempt: int = 0
    session: str = ""
    edition: int = 0

    def command(self, key: bytes) -> Command:
        """Return the command that sets the marker."""
        number, attempt, session, edition = self
        value = b"%d.%d.%s.%d" % (number, attempt, session.encode(), edition)
        return (b"SET", key, value, b"EX", MARKER_SECONDS)

    @classmethod
    def read(cls, value: Reply) -> "Marker | None":
        """Return the marker for its value in Redis, None where that is none of ours."""
        if value is None:
            return cls()
        match = None if isinstance(value, Exception) else _MARKER.fullmatch(value)
        if match is None:
            return None
        number, attempt, session, edition = match.groups(b"")
        return cls(int(number), int(attempt), session.decode(), int(edition or 0))


@dataclass(frozen=True, slots=True)
class Armed:
    """What was read under WATCH: the ground on which the next transaction is decided."""

    marker: Marker | None
    """None where another program has put something else there."""
    states: dict[Destination, HourState]
    members: dict[Destination, int]
    """How many messages the current set has."""
    foreign: dict[Destination, str] = field(default_factory=dict)
    """Destinations with a key of another type, and what Redis said of it: left as they are."""
    server_time: float = field(kw_only=True)
    """Seconds since the epoch, when this was read."""


def arm(marker_key: bytes, destinations: Sequence[Destination]) -> list[Command]:
    """Return the commands that watch and read the marker and where destinations stand."""
    keys = [destination_keys(destination) for destination in destinations]
    watched = [marker_key, *(key for each in keys for key in (each.start, each.previous_start))]
    return [
        (b"WATCH", *watched),
        (b"TIME",),
        # One by one: MGET returns nil for a key of the wrong type, which would be overwritten.
        *((b"GET", key) for key in watched),
        *((b"ZCARD", each.current) for each in keys),
    ]


def read_armed(destinations: Sequence[Destination], replies: Sequence[Reply]) -> Armed:
    """Return what the replies to `arm` say.

    Raises:
        redis.exceptions.ResponseError: Redis refused to watch or to read.

    """
    _, time, marker, *values = replies
    for reply in replies:
        if isinstance(reply, Exception) and not _is_foreign(reply):
            raise reply
    count = len(destinations)
    seconds, microseconds = map(int, time)
    armed = Armed(Marker.read(marker), {}, {}, server_time=seconds + microseconds / 1e6)
    for destination, start, previous, size in zip(
        destinations,
        values[: 2 * count : 2],
        values[1 : 2 * count : 2],
        values[2 * count :],
        strict=True,
    ):
        keys = destination_keys(destination)
        looked_at = ((keys.start, start), (keys.previous_start, previous), (keys.current, size))
        for key, reply in looked_at:
            if isinstance(reply, Exception):
                armed.foreign[destination] = f"{reply} on {key!r}"
        if destination not in armed.foreign:
            armed.states[destination] = HourState.read(start, previous)
            armed.members[destination] = size
    return armed


def _is_foreign(error: Exception) -> bool:
    return str(error).startswith("WRONGTYPE")


@dataclass(frozen=True, slots=True)
class Placement:
    """One group of a batch, and the set in which its messages are to be counted."""

    group: Group
    keys: DestinationKeys
    messages: dict[str, int]
    plan: HourPlan
    room: int | None
    """How many more messages the set may take, None where it takes a look into the set to tell
    which of the messages it can take."""


def place(batch: Batch, armed: Armed, history_hours: int, max_members: int) -> list[Placement]:
    """Return where each group of a batch is counted, the oldest hours first."""
    states = dict(armed.states)
    placements = []
    for group in sorted(batch.counts, key=lambda group: group[1]):
        destination, hour = group
        if destination in armed.foreign:
            continue
        keys, messages = destination_keys(destination), batch.counts[group]
        step = plan_hour(keys, states[destination], hour, history_hours)
        states[destination] = step.state
        room = _room(step, keys, armed.members[destination], len(messages), max_members)
        placements.append(Placement(group, keys, messages, step, room))
    return placements


def _room(
    step: HourPlan, keys: DestinationKeys, members: int, wanted: int, max_members: int
) -> int | None:
    if step.is_empty or step.target is None:
        return max_members
    room = max_members - members
    return room if step.target == keys.current and room >= wanted else None


def look(placement: Placement) -> list[Command]:
    """Return the commands that read how full a set is, and which of the messages it has."""
    target = placement.plan.target
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
    if len(absent) <= max(room, 0):
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
    for reply in (size, scores):
        if isinstance(reply, Exception):
            if not _is_foreign(reply):
                raise reply  # to count all the same would pass the bound, and nobody would know
            return messages  # counting is refused, and reported then
    present = {
        message for message, score in zip(messages, scores, strict=True) if score is not None
    }
    return admit(messages, present, max_members - size)


class _Step(NamedTuple):
    command: Command
    concerns: Group | Destination | None = None
    amount: int = 0
    is_other: bool = False
    is_late: bool = False
    ahead: int = 0
    """How much of the amount was logged by a clock that was ahead."""


class Transaction:
    """The commands between MULTI and EXEC for one batch, and what their replies mean."""

    def __init__(self, ahead: Ahead) -> None:
        self._ahead = ahead
        self._steps: list[_Step] = []
        self._too_late: dict[Group, int] = {}
        self._refused: dict[Group, tuple[int, str]] = {}

    @property
    def commands(self) -> list[Command]:
        """The commands, in order."""
        return [step.command for step in self._steps]

    def add(self, *commands: Command) -> None:
        """Append commands that count nothing."""
        self._steps.extend(map(_Step, commands))

    def push(self, destination: Destination, entries: Iterable[Entry]) -> None:
        """Append what puts entries on the recent log."""
        for command in push_recent(destination_keys(destination), entries):
            self._steps.append(_Step(command, destination))

    def count(self, placement: Placement, messages: dict[str, int]) -> None:
        """Append what moves the hour, if need be, and counts `messages`."""
        step, group = placement.plan, placement.group
        if step.target is None:
            self._too_late[group] = sum(messages.values())
            return
        self.add(*step.before)
        is_late = step.target != placement.keys.current
        ahead = self._ahead.share(group, messages)
        for message, amount in messages.items():
            command = count(step.target, amount, message)
            is_other = message == OTHER
            self._steps.append(_Step(command, group, amount, is_other, is_late, ahead[message]))
        self.add(*step.after)

    def refuse(self, group: Group, amount: int, why: str) -> None:
        """Leave out a group, because a key of its destination is of another type."""
        self._refused[group] = amount, why

    def outcome(self, results: Sequence[Reply] | None = None) -> Outcome:
        """Return what became of the calls, by the results of EXEC; without them, if all went well.

        A command that fails inside EXEC fails alone.
        """
        outcome = Outcome(too_late=sum(self._too_late.values()), lead=self._ahead.lead)
        for group in self._too_late:
            outcome.errors[group] = "the hour is older than what is kept"
        for group, (amount, why) in self._refused.items():
            outcome.refused += amount
            outcome.errors[group] = outcome.failure = why
        for step, result in zip(self._steps, results or [None] * len(self._steps), strict=True):
            if isinstance(result, Exception):
                self._note_failure(outcome, step, result)
                continue
            outcome.late += step.amount * step.is_late
            outcome.ahead += step.ahead
            if step.is_other:
                outcome.other += step.amount
            else:
                outcome.counted += step.amount
        for group, placed in self._ahead.groups.items():
            if placed in outcome.errors:
                outcome.errors[group] = outcome.errors[placed]
        return outcome

    @staticmethod
    def _note_failure(outcome: Outcome, step: _Step, error: Exception) -> None:
        if is_missing_set(step.command, error):
            return
        outcome.failure = f"{error} on {step.command[1]!r}"
        outcome.refused += step.amount
        if step.concerns is not None:
            outcome.errors[step.concerns] = str(error)


def transaction(
    batch: Batch,
    admitted: Iterable[tuple[Placement, dict[str, int]]],
    foreign: Mapping[Destination, str],
    mark: Command,
    ahead: Ahead = NOTHING_AHEAD,
) -> Transaction:
    """Return the transaction for a batch whose messages are placed and admitted."""
    made = Transaction(ahead)
    for group, messages in batch.counts.items():
        if group[0] in foreign:
            made.refuse(group, sum(messages.values()), foreign[group[0]])
    for placement, messages in admitted:
        made.count(placement, messages)
    for destination, entries in batch.recent.items():
        made.push(destination, entries)
    if destinations := sorted(batch.destinations):
        made.add(register(destinations))
    made.add(mark)
    return made
