"""How far a producer's commits have come, as its marker in Redis shows.

Decides what to commit next, and what became of a commit whose reply was lost.
"""

from collections.abc import Collection

from redis.exceptions import ResponseError

from logcommon.model import Destination, Group
from logcommon.settings import Settings
from logcommon.stats import Outcome
from logcommon.write.batch import Batch
from logcommon.write.commit import Commit
from logcommon.write.replays import Replays
from logcommon.write.reporter import Reporter
from logcommon.write.watch import MARKER_SECONDS, Marker, Watched


class Progress:
    """What is known about the commits of one producer at a time.

    Args:
        settings: How long acknowledged commits are held.
        reporter: Accounts for what Redis has lost, and for copies of our spool.
        session: Whose attempts are ours.
        sessions: Those that may have sent our batches. Any other has a copy of our spool.

    """

    def __init__(
        self, settings: Settings, reporter: Reporter, session: str, sessions: Collection[str]
    ) -> None:
        self._reporter = reporter
        self._session = session
        self._sessions = sessions
        self._replays = Replays(settings, reporter)
        self._commit: Commit | None = None
        self._doubtful: Batch | None = None
        self.producer: str = ""
        self.acknowledged: Marker = Marker()
        """The newest marker that Redis has acknowledged."""

    @property
    def in_doubt(self) -> bool:
        """Whether a batch was sent, and it is not known if Redis executed it."""
        return self._commit is not None and self._commit.in_doubt

    def switch_producer(self, producer: str) -> None:
        """Follow another producer, for which nothing was committed here so far."""
        self.producer, self.acknowledged = producer, Marker()
        self._replays.clear(silently=True)

    def begin(self, batch: Batch) -> None:
        """Commit `batch` next, unless it is being committed already."""
        if self._commit is None or self._commit.parts[0] is not batch:
            self._commit = Commit([batch])

    def next(self) -> Commit:
        """Return what has to be in Redis next: what it has lost, then the batch."""
        commit = self._replays.next() or self._commit
        assert commit is not None  # noqa: S101  # `begin` was called
        return commit

    def finish(self, commit: Commit, outcome: Outcome, now: float) -> bool:
        """Record that a commit is in Redis; return whether it was the batch of `begin`."""
        if self._replays.finish(commit, outcome, now):
            return False
        self._commit = None
        return True

    def drop_replays(self) -> None:
        """Count as unwritten what was to be written again: the client is closed."""
        self._replays.drop()

    def last_marker(self, commit: Commit, watched: Watched) -> Marker:
        """Return the marker, or what it was before another program wrote to its key.

        Raises:
            redis.exceptions.ResponseError: It was overwritten, and what it was is uncertain.

        """
        if watched.marker is not None:
            return watched.marker

        is_next = self.acknowledged.number == commit.number - 1
        if commit.in_doubt or not (is_next or commit is not self._commit):
            raise ResponseError(
                "another program has written to our marker while a batch was in doubt"
            )
        return self.acknowledged

    def adjust(self, commit: Commit, marker: Marker, watched: Watched, now: float) -> bool:
        """Follow Redis if it has less than it had acknowledged, or more than it had after a loss.

        Return whether something has changed, so that another commit may have to come first.
        """
        if marker.number < self.acknowledged.number:
            self.acknowledged = marker
            return self._replay_loss(marker, watched, now)
        if self._replays.remove_written(commit, marker.number, now):
            self.acknowledged = marker
            return True
        return False

    def _replay_loss(self, marker: Marker, watched: Watched, now: float) -> bool:
        if marker == Marker() and now - self._replays.acknowledged_at >= MARKER_SECONDS:
            # The marker of an idle producer has expired; nothing is lost.
            self._replays.clear(silently=True)
            return False
        if marker == Marker() and any(state.start for state in watched.states.values()):
            # The marker was evicted or deleted, and the counts were not.
            self._replays.clear(silently=False)
            return False

        self._replays.replay_after(marker.number, now)
        return True

    def acknowledge(self, commit: Commit, marker: Marker) -> Outcome:
        """Record that a commit is in Redis, as the marker shows; return what became of it."""
        self.acknowledged = marker
        batch = commit.batch
        if marker.session == self._session and marker.attempt in commit.attempts:
            return commit.attempts[marker.attempt]
        if marker.edition < batch.edition:
            # From an earlier copy of our buffer. Which of our entries were in it is unknown.
            self._doubtful = batch
            return self.outcome_in_doubt(commit)

        if marker.session and marker.session not in self._sessions:
            self._reporter.copied_spool()
        # Another session sent it. It is known to be counted, but not under which messages.
        return Outcome(counted=commit.calls)

    def is_doubtful(self, batch: Batch) -> bool:
        """Whether a batch came from the buffer together with one that is in doubt."""
        return self._doubtful is not None and (
            (batch.producer, batch.edition) == (self._doubtful.producer, self._doubtful.edition)
        )

    def outcome_in_doubt(self, commit: Commit) -> Outcome:
        """Return the outcome of a commit that another process may have written, and warn."""
        # Entries that failed here are included: the other process may have written those, too.
        self._reporter.copied_spool_in_doubt(commit.calls)
        why = "another process has a copy of this spool, and may have counted it"
        errors: dict[Group | Destination, str] = {}
        for batch in commit.parts:
            errors |= dict.fromkeys(batch.counts, why) | dict.fromkeys(batch.recent, why)
        return Outcome(in_doubt=commit.calls, errors=errors)
