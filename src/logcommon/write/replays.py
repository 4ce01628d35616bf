"""What Redis had acknowledged and has lost is written again, and accounted for until it is."""

from collections import deque
from collections.abc import Mapping

from logcommon.runtime.atomic import atomically
from logcommon.runtime.warnings import Alarm
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write.account import warn_of
from logcommon.write.batch import Batch
from logcommon.write.flight import Flight
from logcommon.write.history import History, Loss, calls_of, merge, take_mergeable
from logcommon.write.transaction import TRANSACTION_SIZE


class Replays:
    """The acknowledged commits of one producer, and those of them that have to be written again."""

    def __init__(self, settings: Settings, ledger: Ledger, alarm: Alarm) -> None:
        self._settings = settings
        self._ledger = ledger
        self._alarm = alarm
        self._history = History(settings.hold_seconds, settings.hold_bytes)
        self._waiting: deque[Batch] = deque()
        self._flight: Flight | None = None

    @property
    def settled_at(self) -> float:
        """When the last commit was acknowledged."""
        return self._history.settled_at

    def next(self) -> Flight | None:
        """Return what has to be written again first, in as few transactions as possible."""
        if self._flight is None and self._waiting:
            parts = take_mergeable(self._waiting, TRANSACTION_SIZE)
            self._flight = Flight(parts, merge(parts))
        return self._flight

    def settled(self, flight: Flight, outcome: Outcome, now: float) -> bool:
        """Note that a flight is in Redis; return whether it was one of those written again."""
        if not outcome.in_doubt:
            self._history.add(flight.parts, outcome, now)
        if flight is not self._flight:
            return False
        self._flight = None
        self._enter(
            outcome.amounts,
            replaying=-calls_of(flight.parts),
            replayed_commits=len(flight.parts),
        )
        self._ledger.last_error = outcome.failure or self._ledger.last_error
        warn_of(outcome, self._alarm, self._settings)
        return True

    def lose(self, number: int, now: float) -> None:
        """Have what is held written again, now that Redis has only what is up to this number.

        What is not held any more is entered as lost. Nothing is entered twice.
        """
        loss = self._history.lose(number, now)
        self._enter(loss.amounts, replaying=calls_of(loss.batches))

        if self._flight is not None:  # it was sent to a server that is no longer the primary
            self._put_back(self._flight.parts)
        self._put_back(loss.batches)
        self._warn(loss)

    def forget(self, *, silently: bool) -> None:
        """Write nothing again of what was acknowledged so far, though its marker is gone."""
        commits = self._history.forget()
        if not silently:
            self._warn(Loss(unrecorded=commits))

    def take_out(self, flight: Flight, number: int, now: float) -> bool:
        """Return whether Redis has a part of a flight, after taking that part out of it.

        A second failover can lead to a replica that was less far behind than the first.
        """
        known = [part for part in flight.parts if part.number <= number]
        if not known:
            return False
        calls = calls_of(known)
        self._history.add(known, Outcome(counted=calls), now)
        self._enter({"counted": calls}, replaying=-calls)
        self._put_back(flight.parts[len(known) :])
        return True

    def give_up(self) -> None:
        """Enter as unwritten what was to be written again, and warn: the client is closed."""
        doubtful = 0
        if self._flight is not None:
            doubtful = calls_of(self._flight.parts) if self._flight.in_doubt else 0
            self._put_back(self._flight.parts)
        if not self._waiting:
            return
        calls = self._ledger.replaying
        self._enter(
            {"dropped_unwritten": calls, "in_doubt": doubtful},
            replaying=-calls,
            lost_commits=len(self._waiting),
        )
        self._alarm.warn(
            "not replayed",
            f"closed before {len(self._waiting)} commits that Redis had lost were written again: "
            f"{calls} entries, {doubtful} of them in doubt",
        )
        self._waiting.clear()

    def _enter(self, amounts: Mapping[str, int], **more: int) -> None:
        """Add to the account, all in one moment."""
        atomically(*self._ledger.adding(**amounts, **more))

    def _put_back(self, batches: list[Batch]) -> None:
        self._flight = None
        self._waiting.extendleft(reversed(batches))

    def _warn(self, loss: Loss) -> None:
        self._ledger.lost_commits += loss.gone_commits
        commits = loss.gone_commits + len(loss.batches)
        if not commits:
            return
        gone = f"; {loss.gone_calls} entries are lost" if loss.gone_calls else ""
        self._alarm.warn(
            "loss",
            f"Redis lost {commits} acknowledged commits (failover?); "
            f"replaying {len(loss.batches)} of them{gone}",
        )
