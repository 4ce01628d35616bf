"""What Redis has acknowledged and may still lose. No I/O.

A replica that becomes the primary may lack the newest commits that the old primary acknowledged.
The marker that the replica has shows which ones. The newest commits are held whole, so that they
can be written again. Of older ones there is a summary, so that the account is right if they are
lost.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from logcommon.stats import Outcome
from logcommon.write.batch import Batch, calls_of

_SUMMARIES = 2_000
"""Commits that are no longer held but have a summary, some 200 bytes each."""


class Summary(NamedTuple):
    """What a commit counted that is no longer held."""

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
    acknowledged_at: float
    size: int

    @property
    def number(self) -> int:
        return self.batches[-1].number

    def summary(self) -> Summary:
        done, commits = self.outcome, len(self.batches)
        return Summary(self.number, commits, done.counted, done.other, done.late, done.ahead)


@dataclass(slots=True)
class Loss:
    """What Redis has lost of what it had acknowledged."""

    batches: list[Batch] = field(default_factory=list)
    """The batches that are held, in order: they can be written again."""
    undone: list[Outcome] = field(default_factory=list)
    """What the commits of these batches had counted."""
    kept: int = 0
    """Of the calls in `undone`, those that Redis still has."""
    gone: list[Summary] = field(default_factory=list)
    """The commits that are no longer held."""
    unknown_commits: int = 0
    """Commits that are gone as well, and no longer have a summary."""

    @property
    def gone_commits(self) -> int:
        """How many commits can't be written again."""
        return self.unknown_commits + sum(summary.commits for summary in self.gone)

    @property
    def gone_calls(self) -> int:
        """How many calls, at least, are lost with them."""
        return sum(summary.counted + summary.other for summary in self.gone)

    @property
    def amounts(self) -> Counter[str]:
        """How much this adds to the fields of a ledger: the lost amounts are subtracted."""
        amounts = Counter(counted=self.kept, dropped_lost=self.gone_calls)
        for outcome in self.undone:
            amounts.subtract(outcome.amounts)

        for summary in self.gone:
            amounts.subtract(
                {
                    "counted": summary.counted,
                    "other": summary.other,
                    "late": summary.late,
                    "ahead": summary.ahead,
                }
            )
        return amounts


class History:
    """The commits of one producer that Redis has acknowledged; the newest of them are held.

    Args:
        seconds: How long a commit is held.
        size: How many bytes may be held.

    """

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._most = size
        self._size = 0
        self._held: deque[_Held] = deque()
        self._summaries: deque[Summary] = deque()
        self._last_unknown = 0  # the highest number that no longer has a summary
        self.acknowledged_at: float = float("-inf")
        """When the last commit was acknowledged."""

    def add(self, batches: Sequence[Batch], outcome: Outcome, now: float) -> None:
        """Hold what Redis has just acknowledged, and stop holding what exceeds a bound."""
        size = sum(batch.size for batch in batches)
        self._held.append(_Held(batches, outcome, now, size))
        self._size += size
        self.acknowledged_at = now
        self._expire(now)

    def pop_after(self, number: int, now: float) -> Loss:
        """Remove and return what is lost if Redis has only the batches up to this number."""
        self._expire(now)
        loss = Loss(unknown_commits=max(0, self._last_unknown - number))
        self._last_unknown -= loss.unknown_commits

        while self._summaries and self._summaries[-1].number > number:
            loss.gone.append(self._summaries.pop())
        while self._held and self._held[-1].number > number:
            self._split_held(self._held.pop(), number, loss)
        return loss

    def clear(self) -> int:
        """Remove everything; return how many commits that was."""
        loss = self.pop_after(0, self.acknowledged_at)
        return loss.gone_commits + len(loss.batches)

    def _split_held(self, held: _Held, number: int, loss: Loss) -> None:
        self._size -= held.size
        loss.undone.append(held.outcome)
        loss.batches[:0] = [batch for batch in held.batches if batch.number > number]

        # After a second failover the server may have a part of what was written again.
        kept = [batch for batch in held.batches if batch.number <= number]
        if kept:
            loss.kept = calls_of(kept)
            self.add(kept, Outcome(counted=loss.kept), held.acknowledged_at)

    def _expire(self, now: float) -> None:
        while self._held and (
            self._size > self._most or now - self._held[0].acknowledged_at >= self._seconds
        ):
            held = self._held.popleft()
            self._size -= held.size
            self._summaries.append(held.summary())

        while len(self._summaries) > _SUMMARIES:
            self._last_unknown = self._summaries.popleft().number
