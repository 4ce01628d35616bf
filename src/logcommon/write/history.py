"""What Redis has acknowledged and may still lose. Pure.

A replica that becomes the primary may lack what its primary acknowledged last. The marker that it
has tells which commits those are. Recent ones are held as a whole, to be written again; of older
ones there is a record, so that the account is right when they are gone.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from logcommon.model import RECENT_LENGTH, Group
from logcommon.stats import Outcome
from logcommon.write.batch import Batch

_RECORDS = 2_000
"""Commits that are no longer held and of which there is a record, some 200 bytes each."""

_MESSAGE_BYTES, _ENTRY_BYTES = 120, 140
"""What Python takes for a counted message, and for an entry of the recent log, besides the text."""


class Record(NamedTuple):
    """What a commit that is no longer held has counted."""

    number: int
    commits: int
    counted: int
    other: int
    late: int
    ahead: int


@dataclass(slots=True)
class _Held:
    """Batches that one transaction made permanent, in order: several after a replay."""

    batches: Sequence[Batch]
    outcome: Outcome
    settled_at: float
    size: int

    @property
    def number(self) -> int:
        return self.batches[-1].number


@dataclass(slots=True)
class Loss:
    """What Redis has lost of what it had acknowledged."""

    batches: list[Batch] = field(default_factory=list)
    """Those that are held, in order: they can be written again."""
    undone: list[Outcome] = field(default_factory=list)
    """What the commits that these are from had counted."""
    kept: int = 0
    """Of the calls in `undone`, those that Redis still has."""
    gone: list[Record] = field(default_factory=list)
    unrecorded: int = 0
    """Commits that are gone too, and of which there is no record any more."""

    @property
    def gone_commits(self) -> int:
        """How many commits can't be written again."""
        return self.unrecorded + sum(record.commits for record in self.gone)

    @property
    def gone_calls(self) -> int:
        """How many calls, at least, are lost with them."""
        return sum(record.counted + record.other for record in self.gone)

    @property
    def amounts(self) -> Counter[str]:
        """How much this adds to the fields of a ledger: what was entered is taken back."""
        amounts = Counter(counted=self.kept, dropped_lost=self.gone_calls)
        for outcome in self.undone:
            amounts.subtract(outcome.amounts)
        for record in self.gone:
            amounts.subtract(
                {
                    "counted": record.counted,
                    "other": record.other,
                    "late": record.late,
                    "ahead": record.ahead,
                }
            )
        return amounts


class History:
    """The commits of one producer that Redis has acknowledged, the newest of them held.

    Args:
        seconds: How long a commit is held.
        size: How many bytes may be held.

    """

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._most = size
        self._size = 0
        self._held: deque[_Held] = deque()
        self._records: deque[Record] = deque()
        self._unrecorded = 0  # the highest number of which there is no record any more
        self.settled_at: float = float("-inf")
        """When the last commit was acknowledged."""

    def add(self, batches: Sequence[Batch], outcome: Outcome, now: float) -> None:
        """Hold what Redis has just acknowledged, and let go of what is past a bound."""
        size = sum(map(size_of, batches))
        self._held.append(_Held(batches, outcome, now, size))
        self._size += size
        self.settled_at = now
        self._let_go(now)

    def lose(self, number: int, now: float) -> Loss:
        """Return, and forget, what is lost if Redis has only the batches up to this number."""
        self._let_go(now)
        loss = Loss(unrecorded=max(0, self._unrecorded - number))
        self._unrecorded -= loss.unrecorded
        while self._records and self._records[-1].number > number:
            loss.gone.append(self._records.pop())
        while self._held and self._held[-1].number > number:
            self._lose_held(self._held.pop(), number, loss)
        return loss

    def forget(self) -> int:
        """Forget everything; return how many commits that was."""
        loss = self.lose(0, self.settled_at)
        return loss.gone_commits + len(loss.batches)

    def _lose_held(self, held: _Held, number: int, loss: Loss) -> None:
        self._size -= held.size
        loss.undone.append(held.outcome)
        loss.batches[:0] = [batch for batch in held.batches if batch.number > number]

        # A second failover may end at a server that has a part of what was written again.
        kept = [batch for batch in held.batches if batch.number <= number]
        if kept:
            loss.kept = calls_of(kept)
            self.add(kept, Outcome(counted=loss.kept), held.settled_at)

    def _let_go(self, now: float) -> None:
        while self._held and (
            self._size > self._most or now - self._held[0].settled_at >= self._seconds
        ):
            held = self._held.popleft()
            self._size -= held.size
            self._records.append(_record(held))
        while len(self._records) > _RECORDS:
            self._unrecorded = self._records.popleft().number


def _record(held: _Held) -> Record:
    done = held.outcome
    commits = len(held.batches)
    return Record(held.number, commits, done.counted, done.other, done.late, done.ahead)


def size_of(batch: Batch) -> int:
    """Return about how many bytes a batch takes in memory."""
    counts, recent = batch.counts.values(), batch.recent.values()
    characters = sum(sum(map(len, messages)) for messages in counts)
    characters += sum(len(message) for entries in recent for message, _ in entries)
    return (
        characters + _MESSAGE_BYTES * sum(map(len, counts)) + _ENTRY_BYTES * sum(map(len, recent))
    )


def calls_of(batches: Iterable[Batch]) -> int:
    """Return how many counted calls batches stand for."""
    return sum(batch.calls for batch in batches)


def take_mergeable(batches: deque[Batch], most: int) -> list[Batch]:
    """Take from the front, at least one, while they have at most `most` distinct messages."""
    taken: list[Batch] = []
    seen: set[tuple[Group, str]] = set()
    while batches:
        counts = batches[0].counts.items()
        fresh = {(group, message) for group, messages in counts for message in messages} - seen
        if taken and len(seen) + len(fresh) > most:
            break
        seen |= fresh
        taken.append(batches.popleft())
    return taken


def merge(batches: Sequence[Batch]) -> Batch:
    """Return one batch for several, in order, under the number of the last."""
    last = batches[-1]
    merged = Batch(
        number=last.number, producer=last.producer, edition=last.edition, attempts=last.attempts
    )
    for batch in batches:
        for group, messages in batch.counts.items():
            counts = merged.counts.setdefault(group, {})
            for message, amount in messages.items():
                counts[message] = counts.get(message, 0) + amount
        for destination, entries in batch.recent.items():
            joined = [*merged.recent.get(destination, ()), *entries]
            merged.recent[destination] = joined[-RECENT_LENGTH:]
    return merged
