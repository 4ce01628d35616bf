"""One commit, through every attempt at it. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass, field

from logcommon.schema.commands import Reply
from logcommon.stats import Outcome
from logcommon.write.batch import Batch, merge, separate_failing
from logcommon.write.transaction import Transaction


@dataclass(slots=True)
class Commit:
    """A batch, or several that are written again as one. It keeps its number in every attempt."""

    parts: list[Batch]
    batch: Batch = field(init=False)
    """All parts in one, without the entries that were dropped because they failed."""
    attempts: dict[int, Outcome] = field(default_factory=dict)
    """For each attempt that was sent, its outcome if that is the one that Redis executes."""
    failed: Outcome = field(default_factory=Outcome)
    """The outcome of the entries that were dropped because they failed."""
    failed_builds: int = 0
    """Attempts in a row for which no transaction could be built."""

    def __post_init__(self) -> None:
        self.batch = self.parts[0] if len(self.parts) == 1 else merge(self.parts)

    @property
    def number(self) -> int:
        """The number that the marker has once this is in Redis."""
        return self.batch.number

    @property
    def calls(self) -> int:
        """How many counted calls this stands for, failed ones included."""
        return sum(part.calls for part in self.parts)

    @property
    def in_doubt(self) -> bool:
        """Whether this was sent, and it is not known if Redis executed it."""
        return bool(self.attempts)

    def begin_attempt(self) -> int:
        """Return the number of the next attempt.

        The last part takes the number too. It may become part of another commit, and an attempt at
        this one must not be taken for an attempt at that one.
        """
        self.batch.attempts += 1
        self.parts[-1].attempts = self.batch.attempts
        return self.batch.attempts

    def outcome(self, transaction: Transaction, results: Reply = None) -> Outcome:
        """Return the outcome of a transaction, and of the entries that were dropped."""
        outcome = transaction.outcome(results)
        outcome.failed = self.failed.failed
        outcome.errors |= self.failed.errors
        return outcome

    def drop_failing(self, check: Callable[[Batch], object], why: str) -> int:
        """Drop the entries for which `check` raises; return how many calls they stand for."""
        self.failed_builds = 0
        self.batch, bad = separate_failing(self.batch, check)
        self.failed.failed += bad.calls
        self.failed.errors |= dict.fromkeys(bad.counts, why) | dict.fromkeys(bad.recent, why)
        return bad.calls
