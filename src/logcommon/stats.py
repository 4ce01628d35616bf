"""The numbers by which a client accounts for every call. Pure."""

from dataclasses import dataclass, field, fields
from functools import partial
from operator import attrgetter

from logcommon.model import Destination, Group
from logcommon.runtime.atomic import Step


@dataclass(slots=True)
class Outcome:
    """What has become of the calls of a batch."""

    counted: int = 0
    other: int = 0
    late: int = 0
    ahead: int = 0
    too_late: int = 0
    refused: int = 0
    failed: int = 0
    lead: float = 0.0
    """By how many seconds the clock was ahead that logged those that are."""
    in_doubt: int = 0
    errors: dict[Group | Destination, str] = field(default_factory=dict)
    """Why groups were not, or not wholly, counted, and why destinations have no recent log."""
    failure: str | None = None
    """The last command that Redis refused inside EXEC, other than a rename of nothing."""

    @property
    def amounts(self) -> dict[str, int]:
        """How much this adds to the fields of a ledger."""
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
    """What has become of the entries so far, kept by the writer."""

    counted: int = 0
    other: int = 0
    dropped_too_late: int = 0
    dropped_refused: int = 0
    dropped_failed: int = 0
    dropped_lost: int = 0
    dropped_unwritten: int = 0
    replaying: int = 0
    """Calls that Redis had acknowledged and lost, and that are to be written again."""
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
    """A client's account at one moment.

    `calls == counted + other + dropped + spooled + pending`
    """

    calls: int
    """Calls of `log_common` and `log_common_nowait` that were accepted, and those recovered."""

    counted: int
    """Of these, counted in Redis under their own message."""

    other: int
    """Counted in Redis under `<other>`, because a bound was reached."""

    dropped_too_late: int
    """Not counted: their hour was older than what is kept when they could be written."""

    dropped_refused: int
    """Not counted: Redis refused their key, which is of another type."""

    dropped_failed: int
    """Not counted: making a transaction of them failed with an unexpected error."""

    dropped_lost: int
    """Not counted any more: Redis had acknowledged them and then lost them, as a failover can, and
    they were no longer held to be written again."""

    dropped_unwritten: int
    """Not known to be counted: Redis could not be reached in time when the client was closed; or
    they were in a part of a spool that was damaged, or that a copy of it has written."""

    dropped_closed: int
    """Not counted: called after the client was closed."""

    spooled: int
    """Left in the spool when the client was closed, for the next one that opens it."""

    recovered: int
    """Of the calls, those that an earlier client had left in the spool."""

    pending: int
    """Waiting to be written, or being written: counted where they are, not the rest of a sum."""

    in_doubt: int
    """Of `dropped_unwritten`, those whose commit had been sent, or that were in a part of a spool
    that was damaged or that a copy of it has written: Redis may have counted them."""

    recent_calls: int
    """Calls of `log_recent` and `log_recent_nowait` that were accepted. Of these, and of the
    calls above, the newest 100 of a batch are sent to the recent log."""

    late: int
    """Of those in Redis, counted in an hour that was over: `:last` or an older one."""

    ahead: int
    """Of those in Redis, counted in the server's hour, because this machine's clock was more than
    `max_clock_lead` ahead of it."""

    commits: int
    """Transactions that Redis executed."""

    aborts: int
    """Transactions that Redis did not execute, because another producer had turned the hour."""

    lost_connections: int
    """Attempts that a lost connection ended, or one that could not be had."""

    timeouts: int
    """Attempts that took longer than `commit_timeout`."""

    refusals: int
    """Attempts that Redis refused, a login included; nothing was applied."""

    connects: int
    """Connections made for writing."""

    commands: int
    """Commands sent for writing, all attempts included."""

    lost_commits: int
    """Commits that Redis had acknowledged and then lost, as a failover can, or may have lost, and
    that were not written again. The calls of those that are surely lost are `dropped_lost`."""

    replayed_commits: int
    """Commits that Redis had lost like that, and that were written again."""

    restarts: int
    """Times that the writer failed with an unexpected error, and was started again."""

    last_commit_age: float | None
    """Seconds since Redis last acknowledged a commit, None before the first."""

    last_error: str | None
    """The kind and text of the last fault, None when there was none."""

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
        """Attempts that a fault ended. Each was tried again."""
        return self.lost_connections + self.timeouts + self.refusals
