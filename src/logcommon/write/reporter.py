"""What users learn about the writing: numbers in the ledger, and warnings in the log."""

import redis.exceptions
from redis.exceptions import AuthenticationError, ResponseError

from logcommon.exceptions import SpoolError
from logcommon.messages.origin import origin_of
from logcommon.runtime.atomic import Step, atomically
from logcommon.runtime.warnings import RateLimitedWarnings
from logcommon.server.errors import describe
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write.history import Loss
from logcommon.write.spool import Damage

_DROPS = "drops"
"""The kind of two warnings that should not follow each other."""


class Reporter:
    """Adds to a ledger, and warns of what users should know.

    Args:
        ledger: The numbers.
        settings: What the warnings name.

    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self._settings = settings
        self._warnings = RateLimitedWarnings()

    def add(self, *steps: Step, **amounts: int) -> None:
        """Take `steps` and add to fields of the ledger, all at one moment."""
        atomically(*steps, *self.ledger.add_steps(**amounts))

    # Commits

    def outcome(self, outcome: Outcome) -> None:
        """Warn of entries that were not counted as they were logged."""
        self.ledger.last_error = outcome.failure or self.ledger.last_error
        if outcome.failure:
            self._warnings.warn(
                "refused",
                f"Redis refused part of a commit: {outcome.failure}; what belongs into that key is "
                "dropped until you delete it, all else is written",
            )

        if outcome.too_late:
            self._warnings.warn(
                "too late",
                f"{outcome.too_late} entries were dropped: their hour is older than the "
                f"{self._settings.history_hours} hours of history that are kept; check the clocks "
                "of this machine and of the other producers, or raise history_hours",
            )

        if outcome.ahead:
            self._warnings.warn(
                "ahead",
                f"this machine's clock is {outcome.lead:.0f} seconds ahead of the Redis server's; "
                f"{outcome.ahead} entries were counted in the server's hour: synchronize the "
                "clocks, or raise max_clock_lead",
            )

    def fault(self, error: Exception) -> None:
        """Count an attempt that Redis or the network ended, and warn of it."""
        if isinstance(error, ResponseError | AuthenticationError):
            self.ledger.refusals += 1
        elif isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
            self.ledger.timeouts += 1
        else:
            self.ledger.lost_connections += 1

        self.ledger.last_error = describe(error)
        self._warnings.warn(
            "fault",
            f"writing to Redis failed: {describe(error)}; entries are kept, and writing is tried "
            "again",
        )

    def failed_entries(self, calls: int, error: Exception) -> None:
        """Warn of entries that were dropped because no transaction can be built with them."""
        self._warnings.warn(
            "failed",
            f"{calls} entries are dropped, because an unexpected error keeps them from being "
            f"written: {error}; please report it",
        )

    def missing_replicas(self, found: int, wanted: int) -> None:
        """Warn of a commit that too few replicas have acknowledged."""
        self.ledger.last_error = f"{found} of {wanted} replicas have acknowledged a commit"
        self._warnings.warn(
            "replicas",
            f"only {self.ledger.last_error}: it is in Redis, but calls wait until enough replicas "
            "have it; check the replicas, or lower wait_replicas",
        )

    # Failover

    def loss(self, loss: Loss) -> None:
        """Count and warn of acknowledged commits that Redis has lost."""
        self.ledger.lost_commits += loss.gone_commits
        commits = loss.gone_commits + len(loss.batches)
        if not commits:
            return

        gone = f"; {loss.gone_calls} entries are lost" if loss.gone_calls else ""
        self._warnings.warn(
            "loss",
            f"Redis lost {commits} acknowledged commits (failover?); "
            f"replaying {len(loss.batches)} of them{gone}",
        )

    def not_replayed(self, commits: int, calls: int, in_doubt: int) -> None:
        """Warn of lost commits that were not written again before the client was closed."""
        self._warnings.warn(
            "not replayed",
            f"closed before {commits} commits that Redis had lost were written again: "
            f"{calls} entries, {in_doubt} of them in doubt",
        )

    # The spool

    def spool_error(self, error: SpoolError) -> None:
        """Warn that the spool can't be written to."""
        self.ledger.last_error = str(error)
        self._warnings.warn(
            "spool",
            f"{error}; entries still go to Redis, but they are not on disk meanwhile: if this "
            "process is killed, they are lost",
        )

    def damaged_spool(self, damage: Damage, recovered: int) -> None:
        """Count and warn of entries in a spool that can't be read; they may be in Redis."""
        calls = damage.calls
        self.add(recovered=calls, dropped_unwritten=calls, in_doubt=calls)
        self._warnings.warn(
            "damaged",
            f"the spool was damaged: {damage.lines} of its records can't be read, with at least "
            f"{calls} entries; the damaged file is now {damage.aside}, and the {recovered} "
            "entries that can be read are written",
        )

    def copied_spool(self) -> None:
        """Warn that another process has written a batch of ours."""
        self._warnings.warn(
            "copy",
            "another process has a copy of this spool, and has written entries from it; "
            "they are counted once. Give each process a spool of its own",
        )

    def copied_spool_in_doubt(self, calls: int) -> None:
        """Warn of entries that another process may have written."""
        self._warnings.warn(
            "copy in doubt",
            f"another process has a copy of this spool, and may have written {calls} of our "
            "entries; they are dropped here. Give each process a spool of its own",
        )

    # The writer and its end

    def restart(self, error: Exception) -> None:
        """Count and warn of an unexpected error of the writer, which goes on."""
        self.ledger.restarts += 1
        self.ledger.last_error = origin_of(error)
        self._warnings.warn(
            "restart",
            "the writer failed with an unexpected error, and is started again: "
            f"{self.ledger.last_error}; please report it",
        )

    def cancelled_writer(self) -> None:
        """Warn of a writer that was cancelled while its client is open."""
        self._warnings.warn(
            _DROPS,
            "the task that writes to Redis was cancelled, but the client is still open: what is "
            "logged now is dropped; close the client before you cancel all tasks",
        )

    def dropped_calls(self) -> None:
        """Warn of calls after the end of the writer."""
        self._warnings.warn(
            _DROPS,
            "what is logged is dropped: the client was closed, or the task that writes was "
            "cancelled; close the client last, or use logcommon.background",
        )

    def unwritten(self, calls: int, in_doubt: int) -> None:
        """Warn of entries that were not written before the client was closed."""
        self._warnings.warn(
            "closed",
            f"closed with {calls} entries unwritten, {in_doubt} of them in doubt; "
            f"the last error was {self.ledger.last_error}",
        )
