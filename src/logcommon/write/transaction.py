"""A batch becomes a transaction, and its replies an outcome. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from logcommon.model import OTHER, Destination, Group
from logcommon.schema.commands import (
    Command,
    Reply,
    count,
    count_minute,
    push_recent,
    register,
    set_examples,
)
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import is_missing_set
from logcommon.settings import Settings
from logcommon.stats import Outcome
from logcommon.write.batch import Batch, Entry
from logcommon.write.placement import (
    NOTHING_MOVED,
    Moved,
    Placement,
    admit,
    admit_inspected,
    inspect_commands,
    move_to_server_hour,
    place,
)
from logcommon.write.watch import Watched


class _Queued(NamedTuple):
    """A command of a transaction, and what it counts."""

    command: Command
    concerns: Group | Destination | None = None
    amount: int = 0
    is_other: bool = False
    is_late: bool = False
    ahead: int = 0
    """How much of the amount was logged by a clock that was ahead."""


class Transaction:
    """The commands between MULTI and EXEC for one batch, and what their replies mean."""

    def __init__(self, moved: Moved) -> None:
        self._moved = moved
        self._queued: list[_Queued] = []
        self._too_late: dict[Group, int] = {}
        self._refused: dict[Group, tuple[int, str]] = {}

    @property
    def commands(self) -> list[Command]:
        """The commands, in order."""
        return [queued.command for queued in self._queued]

    def add(self, *commands: Command) -> None:
        """Append commands that count nothing."""
        self._queued.extend(map(_Queued, commands))

    def push(self, destination: Destination, entries: Iterable[Entry]) -> None:
        """Append the commands that put entries on the recent log."""
        for command in push_recent(destination_keys(destination), entries):
            self._queued.append(_Queued(command, destination))

    def count(self, placement: Placement, messages: dict[str, int], batch: Batch) -> None:
        """Append the commands that count `messages`, after the rotation if one is due."""
        needed, group = placement.plan, placement.group
        examples, minutes = batch.examples.get(group, {}), batch.minutes.get(group, {})
        if needed.key is None:
            self._too_late[group] = sum(messages.values())
            return

        self.add(*needed.before)
        is_late = needed.key != placement.keys.current
        ahead = self._moved.amounts_in(group, messages)
        for message, amount in messages.items():
            command = count(needed.key, amount, message)
            is_other = message == OTHER
            self._queued.append(_Queued(command, group, amount, is_other, is_late, ahead[message]))
        # Of what the set has no room for, no example is kept: so these are bounded as the set is.
        admitted = {message: text for message, text in examples.items() if message in messages}
        if admitted:
            self.add(set_examples(needed.key, admitted))
        self.add(*(count_minute(needed.key, *each) for each in minutes.items()))
        self.add(*needed.after)

    def refuse(self, group: Group, amount: int, why: str) -> None:
        """Leave out a group, because a key of its destination has the wrong type."""
        self._refused[group] = amount, why

    def outcome(self, results: Sequence[Reply] | None = None) -> Outcome:
        """Return what became of the calls, by the results of EXEC; without these, if all went well.

        A command that fails inside EXEC fails alone.
        """
        outcome = Outcome(too_late=sum(self._too_late.values()), lead=self._moved.lead)
        for group in self._too_late:
            outcome.errors[group] = "the hour is older than what is kept"
        for group, (amount, why) in self._refused.items():
            outcome.refused += amount
            outcome.errors[group] = outcome.failure = why

        results = results or [None] * len(self._queued)
        for queued, result in zip(self._queued, results, strict=True):
            if isinstance(result, Exception):
                _add_failure(outcome, queued, result)
            else:
                _add_success(outcome, queued)

        for group, moved_to in self._moved.groups.items():
            if moved_to in outcome.errors:
                outcome.errors[group] = outcome.errors[moved_to]
        return outcome


def _add_success(outcome: Outcome, queued: _Queued) -> None:
    outcome.late += queued.amount * queued.is_late
    outcome.ahead += queued.ahead
    if queued.is_other:
        outcome.other += queued.amount
    else:
        outcome.counted += queued.amount


def _add_failure(outcome: Outcome, queued: _Queued, error: Exception) -> None:
    if is_missing_set(queued.command, error):
        return
    outcome.failure = f"{error} on {queued.command[1]!r}"
    outcome.refused += queued.amount
    if queued.concerns is not None:
        outcome.errors[queued.concerns] = str(error)


def build_transaction(
    batch: Batch,
    admitted: Iterable[tuple[Placement, dict[str, int]]],
    wrong_type: Mapping[Destination, str],
    set_marker: Command,
    moved: Moved = NOTHING_MOVED,
) -> Transaction:
    """Return the transaction for a batch.

    Args:
        batch: The batch.
        admitted: For each placement of the batch, what is counted there.
        wrong_type: The destinations that are left out, and why.
        set_marker: The command that sets the producer's marker.
        moved: What of the batch was moved to the server's hour.

    """
    transaction = Transaction(moved)
    for group, messages in batch.counts.items():
        if group[0] in wrong_type:
            transaction.refuse(group, sum(messages.values()), wrong_type[group[0]])

    for placement, messages in admitted:
        transaction.count(placement, messages, batch)
    for destination, entries in batch.recent.items():
        transaction.push(destination, entries)
    if destinations := sorted(batch.destinations):
        transaction.add(register(destinations))

    transaction.add(set_marker)
    return transaction


class Plan:
    """How a batch becomes a transaction, with what has to be read first.

    Args:
        batch: The batch.
        watched: What was read under WATCH.
        server_time: The time of the server now, in seconds since the epoch.
        settings: The bounds.

    """

    def __init__(
        self, batch: Batch, watched: Watched, server_time: float, settings: Settings
    ) -> None:
        self._wrong_type = watched.wrong_type
        self._max_members = settings.max_members
        self._batch, self._moved = move_to_server_hour(batch, server_time, settings.max_clock_lead)
        self._placements = place(self._batch, watched, settings.history_hours, settings.max_members)
        self.inspections: list[Command] = [
            command
            for placement in self._placements
            if placement.capacity is None
            for command in inspect_commands(placement)
        ]
        """Commands whose replies `transaction` needs. Mostly there are none."""

    def transaction(self, set_marker: Command, replies: Sequence[Reply] = ()) -> Transaction:
        """Return the transaction; `replies` are those to the `inspections`."""
        remaining = iter(replies)
        admitted = []

        for placement in self._placements:
            if placement.capacity is None:
                size, scores = next(remaining), next(remaining)
                messages = admit_inspected(placement.messages, size, scores, self._max_members)
            else:
                messages = admit(placement.messages, (), placement.capacity)
            admitted.append((placement, messages))

        return build_transaction(self._batch, admitted, self._wrong_type, set_marker, self._moved)

    def check(self, set_marker: Command) -> None:
        """Raise if no transaction can be built, or its outcome can't be told."""
        admitted = [(placement, placement.messages) for placement in self._placements]
        transaction = build_transaction(
            self._batch, admitted, self._wrong_type, set_marker, self._moved
        )
        transaction.outcome()
