"""What Redis had acknowledged and has lost is written again."""

from collections import deque

from logcommon.settings import Settings
from logcommon.stats import Outcome
from logcommon.write.batch import BATCH_SIZE, Batch, calls_of, take_mergeable
from logcommon.write.commit import Commit
from logcommon.write.history import History, Loss
from logcommon.write.reporter import Reporter


class Replays:
    """The acknowledged commits of one producer, and those that have to be written again."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._reporter = reporter
        self._history = History(settings.hold_seconds, settings.hold_bytes)
        self._waiting: deque[Batch] = deque()
        self._commit: Commit | None = None

    @property
    def acknowledged_at(self) -> float:
        """When the last commit was acknowledged."""
        return self._history.acknowledged_at

    def next(self) -> Commit | None:
        """Return what has to be written again first, in as few transactions as possible."""
        if self._commit is None and self._waiting:
            self._commit = Commit(take_mergeable(self._waiting, BATCH_SIZE))
        return self._commit

    def finish(self, commit: Commit, outcome: Outcome, now: float) -> bool:
        """Record that a commit is in Redis; return whether it was a replay."""
        if not outcome.in_doubt:
            self._history.add(commit.parts, outcome, now)
        if commit is not self._commit:
            return False

        self._commit = None
        self._reporter.add(
            **outcome.amounts, replaying=-commit.calls, replayed_commits=len(commit.parts)
        )
        self._reporter.outcome(outcome)
        return True

    def replay_after(self, number: int, now: float) -> None:
        """Write again what is held, now that Redis has only the batches up to this number.

        What is no longer held is counted as lost. Nothing is counted twice.
        """
        loss = self._history.pop_after(number, now)
        self._reporter.add(**loss.amounts, replaying=calls_of(loss.batches))

        if self._commit is not None:  # it was sent to a server that is no longer the primary
            self._put_back(self._commit.parts)
        self._put_back(loss.batches)
        self._reporter.loss(loss)

    def clear(self, *, silently: bool) -> None:
        """Write nothing again of what was acknowledged so far, though its marker is gone."""
        commits = self._history.clear()
        if not silently:
            self._reporter.loss(Loss(unknown_commits=commits))

    def remove_written(self, commit: Commit, number: int, now: float) -> bool:
        """Remove the parts up to this number from a commit; return whether there are any.

        After a second failover, the new primary can be one that had received more than the first.
        """
        written = [part for part in commit.parts if part.number <= number]
        if not written:
            return False

        calls = calls_of(written)
        self._history.add(written, Outcome(counted=calls), now)
        self._reporter.add(counted=calls, replaying=-calls)
        self._put_back(commit.parts[len(written) :])
        return True

    def drop(self) -> None:
        """Count as unwritten what was to be written again: the client is closed."""
        in_doubt = 0
        if self._commit is not None:
            in_doubt = self._commit.calls if self._commit.in_doubt else 0
            self._put_back(self._commit.parts)
        if not self._waiting:
            return

        commits, calls = len(self._waiting), self._reporter.ledger.replaying
        self._reporter.add(
            dropped_unwritten=calls, in_doubt=in_doubt, replaying=-calls, lost_commits=commits
        )
        self._reporter.not_replayed(commits, calls, in_doubt)
        self._waiting.clear()

    def _put_back(self, batches: list[Batch]) -> None:
        self._commit = None
        self._waiting.extendleft(reversed(batches))
