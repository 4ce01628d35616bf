"""What one transaction settles, through all attempts at it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from logcommon.schema.commands import Reply
from logcommon.stats import Outcome
from logcommon.write.batch import Batch
from logcommon.write.isolate import set_apart
from logcommon.write.transaction import Transaction


@dataclass(slots=True)
class Flight:
    """A batch, or several that are written again. It keeps its number through every attempt."""

    parts: list[Batch]
    batch: Batch
    """All parts in one, without what was set apart."""
    attempts: dict[int, Outcome] = field(default_factory=dict)
    """For each attempt that was sent, what it does if it is the one that Redis executes."""
    failed: Outcome = field(default_factory=Outcome)
    """What became of the entries that were set apart."""
    undecided: int = 0
    """Attempts in a row of which no transaction could be made."""

    @property
    def number(self) -> int:
        """The number that the marker has once this is in Redis."""
        return self.batch.number

    @property
    def in_doubt(self) -> bool:
        """Whether this was sent and it is not known if Redis executed it."""
        return bool(self.attempts)

    def begin_attempt(self) -> int:
        """Return the number of the next attempt.

        It is the last part's too: that can come in another flight, to which the marker of an
        attempt at this one must mean nothing.
        """
        self.batch.attempts += 1
        self.parts[-1].attempts = self.batch.attempts
        return self.batch.attempts

    def outcome(self, made: Transaction, results: Reply = None) -> Outcome:
        """Return what becomes of the calls by a transaction, what was set apart included."""
        outcome = made.outcome(results)
        outcome.failed = self.failed.failed
        outcome.errors |= self.failed.errors
        return outcome

    def set_apart(self, check: Callable[[Batch], object], why: str) -> int:
        """Go on without the entries for which `check` raises; return how many calls those are."""
        self.undecided = 0
        self.batch, bad = set_apart(self.batch, check)
        self.failed.failed += bad.calls
        self.failed.errors |= dict.fromkeys(bad.counts, why) | dict.fromkeys(bad.recent, why)
        return bad.calls
