"""The numbers by which a client accounts for every call. No I/O."""

from dataclasses import dataclass, field, fields
from functools import partial
from operator import attrgetter

from logcommon.model import Destination, Group
from logcommon.runtime.atomic import Step


@dataclass(slots=True)
class Outcome:
    """What became of the calls of a batch."""

    counted: int = 0
    other: int = 0
    late: int = 0
    ahead: int = 0
    too_late: int = 0
    refused: int = 0
    failed: int = 0
    lead: float = 0.0
    """Seconds by which the clock was ahead for the calls that `ahead` counts."""
    in_doubt: int = 0
    errors: dict[Group | Destination, str] = field(default_factory=dict)
    """Why a group was not counted completely, or why a destination's recent log was not written."""
    failure: str | None = None
    """The last command that Redis refused inside EXEC, other than a rename of nothing."""

    @property
    def amounts(self) -> dict[str, int]:
        """What to add to the fields of a ledger."""
        return {
            "counted": self.counted,
            "other": self.other,
            "late": self.late,
            "ahead": self.ahead,
            "dropped_too_late": self.too_late,
            "dropped_refused": self.refused,
            "dropped_failed": self.failed,
            "dropped_unwritten": self.in_doubt,
            "in_doubt": self.in_doubt,
        }


@dataclass(slots=True)
class Ledger:
    """What became of the entries so far, as the writer counts them."""

    counted: int = 0
    other: int = 0
    dropped_too_late: int = 0
    dropped_refused: int = 0
    dropped_failed: int = 0
    dropped_lost: int = 0
    dropped_unwritten: int = 0
    replaying: int = 0
    """Calls that Redis had acknowledged and lost, and that will be written again."""
    recovered: int = 0
    spooled: int = 0
    in_doubt: int = 0
    late: int = 0
    ahead: int = 0
    commits: int = 0
    aborts: int = 0
    lost_connections: int = 0
    timeouts: int = 0
    refusals: int = 0
    connects: int = 0
    commands: int = 0
    lost_commits: int = 0
    replayed_commits: int = 0
    restarts: int = 0
    last_error: str | None = None
    last_commit_at: float | None = None
    """By the monotonic clock."""

    def read_step(self) -> Step:
        """Return the step that reads all fields, in the order of `LEDGER_FIELDS`."""
        return partial(attrgetter(*LEDGER_FIELDS), self)

    def add_steps(self, **amounts: int) -> list[Step]:
        """Return the steps that add to fields."""
        return [
            partial(setattr, self, name, getattr(self, name) + amount)
            for name, amount in amounts.items()
        ]


LEDGER_FIELDS = tuple(each.name for each in fields(Ledger))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What became of a client's calls, at one moment.

    `calls == counted + other + dropped + spooled + pending`
    """

    calls: int
    """Calls of `log_common` and `log_common_nowait` that were accepted, and those recovered."""

    counted: int
    """Calls counted in Redis under their own message."""

    other: int
    """Calls counted in Redis as `<other>`, because a limit was reached."""

    dropped_too_late: int
    """Not counted: by the time they could be written, their hour was older than those kept."""

    dropped_refused: int
    """Not counted: their key has the wrong type, so Redis refused them."""

    dropped_failed: int
    """Not counted: building their transaction failed with an unexpected error."""

    dropped_lost: int
    """No longer counted: Redis acknowledged them and then lost them, as in a failover, when they
    were no longer held to be written again."""

    dropped_unwritten: int
    """Not known to be counted: Redis could not be reached in time when the client was closed, or
    they were in a part of a spool that was damaged or that a copy of the spool has written."""

    dropped_closed: int
    """Not counted: called after the client was closed."""

    spooled: int
    """Left in the spool when the client was closed, for the next one that opens it."""

    recovered: int
    """Calls, included in `calls`, that an earlier client had left in the spool."""

    pending: int
    """Waiting to be written, or being written. This is counted, not calculated from the others."""

    in_doubt: int
    """Calls of `dropped_unwritten` that Redis may have counted: their commit had been sent, or they
    were in a part of a spool that was damaged or that a copy of the spool has written."""

    recent_calls: int
    """Calls of `log_recent` and `log_recent_nowait` that were accepted. Of these and `calls`, only
    the newest 100 of each destination in a batch are sent to the recent log."""

    late: int
    """Calls of `counted` and `other` whose hour was over when they were written."""

    ahead: int
    """Calls of `counted` and `other` that were counted in the server's hour, because this machine's
    clock was more than `max_clock_lead` ahead of the server's."""

    commits: int
    """Transactions that Redis executed."""

    aborts: int
    """Transactions that Redis did not execute, because another producer had begun a new hour."""

    lost_connections: int
    """Attempts that failed because the connection was lost or could not be made."""

    timeouts: int
    """Attempts that took longer than `commit_timeout`."""

    refusals: int
    """Attempts that Redis refused, including logins; nothing was applied."""

    connects: int
    """Connections made for writing."""

    commands: int
    """Commands sent for writing, including every attempt."""

    lost_commits: int
    """Commits that Redis acknowledged and then lost or may have lost, as in a failover, and that
    were not written again. The calls of those that are certainly lost are in `dropped_lost`."""

    replayed_commits: int
    """Commits that Redis acknowledged and then lost, and that were written again."""

    restarts: int
    """How often the writer failed with an unexpected error and was started again."""

    last_commit_age: float | None
    """Seconds since Redis last acknowledged a commit; None before the first."""

    last_error: str | None
    """The type and text of the last fault; None if there was none."""

    @property
    def dropped(self) -> int:
        """Calls that are not counted and will not be."""
        return (
            self.dropped_too_late
            + self.dropped_refused
            + self.dropped_failed
            + self.dropped_lost
            + self.dropped_unwritten
            + self.dropped_closed
        )

    @property
    def failures(self) -> int:
        """Attempts that a fault ended; each was tried again."""
        return self.lost_connections + self.timeouts + self.refusals
