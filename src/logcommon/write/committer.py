"""Batches are made permanent, one after the other, each exactly once."""

import contextlib
import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import Self

import anyio
import redis.exceptions
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from logcommon.exceptions import ClusterUnsupportedError
from logcommon.messages.origin import origin_of
from logcommon.model import Destination, Group
from logcommon.runtime.warnings import Alarm
from logcommon.schema.commands import Command, Reply
from logcommon.schema.keys import marker_key
from logcommon.server.errors import describe, is_cluster_error
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write.ahead import Ahead, is_ahead, pull_back
from logcommon.write.batch import Batch
from logcommon.write.flight import Flight
from logcommon.write.history import calls_of
from logcommon.write.locked import LockedConnection
from logcommon.write.replays import Replays
from logcommon.write.transaction import (
    MARKER_SECONDS,
    Armed,
    Marker,
    Transaction,
    admit,
    admit_seen,
    look,
    place,
    transaction,
)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between attempts: doubled after each, with jitter, so that producers spread out."""

_UNDECIDED_ATTEMPTS = 3
"""Attempts at a batch that fail before anything is sent, until its faulty entries are dropped."""


class _UndecidedError(Exception):
    """No transaction could be made of a batch, and nothing was sent."""

    def __init__(self, armed: Armed, cause: Exception) -> None:
        super().__init__(origin_of(cause))
        self.armed = armed


class Committer:
    """Settles one batch at a time, under the id of the producer that made it.

    Args:
        client: Where to; a connection of its own is made like that client's.
        settings: Time limits and bounds.
        ledger: Where commits and faults are entered.
        alarm: Warns of them.
        session: Whose attempts are ours.
        sessions: Those that may have sent what is to be settled: any other has a copy of our spool.

    """

    def __init__(
        self,
        client: Redis,
        settings: Settings,
        ledger: Ledger,
        alarm: Alarm,
        session: str,
        sessions: Collection[str],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._alarm = alarm
        self._session = session
        self._sessions = sessions
        self._producer = ""
        self._doubtful: Batch | None = None
        self._acknowledged = Marker()
        self._flight: Flight | None = None
        self._replays = Replays(settings, ledger, alarm)
        self._connection = self._connection_to(client)

    def inherited(self, client: Redis) -> Self:
        """Return this, for another event loop, from one that was closed in the middle of it."""
        self._connection = self._connection_to(client)
        return self

    @property
    def in_doubt(self) -> bool:
        """Whether a batch was sent and it is not known if Redis executed it."""
        return self._flight is not None and self._flight.in_doubt

    async def settle(self, batch: Batch) -> Outcome:
        """Commit `batch`, however long it takes, and return what became of its calls.

        If this is cancelled or raises, the same batch must be given again before another one.

        Raises:
            ClusterUnsupportedError: The server is one of a Redis Cluster, so trying again won't do.

        """
        if batch.producer != self._producer:
            self._speak_for(batch.producer)
        if self._flight is None or self._flight.parts[0] is not batch:
            self._flight = Flight([batch], batch)
        pause = _FIRST_PAUSE
        while True:
            flight = self._replays.next() or self._flight
            try:
                with anyio.fail_after(self._settings.commit_timeout):
                    outcome = await self._attempt(flight)
            except Exception as error:  # noqa: BLE001  # whatever it was, arming again tells
                await self._connection.disconnect()
                self._report(flight, error)
                if is_cluster_error(error):
                    raise ClusterUnsupportedError(describe(error)) from None
                await anyio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                if outcome is not None and self._settled(flight, outcome):
                    return outcome

    def _speak_for(self, producer: str) -> None:
        """Turn to the marker of another producer, of whom we have settled nothing yet."""
        self._producer, self._acknowledged = producer, Marker()
        self._connection.watch_marker(self._marker_key)
        self._replays.forget(silently=True)

    @property
    def _marker_key(self) -> bytes:
        return marker_key(self._producer)

    async def close(self, *, forget: bool) -> None:
        """Disconnect; with `forget`, delete the marker first unless a batch is in doubt."""
        try:
            # An EXEC of ours that is still under way somewhere watched the marker: it aborts on
            # this as it would on a higher number.
            if forget and self._producer and self._connection.is_connected and not self.in_doubt:
                await self._connection.exchange([(b"DEL", self._marker_key)])
        except Exception as error:  # noqa: BLE001  # the marker expires by itself
            self._ledger.last_error = describe(error)
        finally:
            await self._connection.disconnect()

    def give_up(self) -> None:
        """Account for what was to be written again, and will not be: the client is closed."""
        self._replays.give_up()

    def _connection_to(self, client: Redis) -> LockedConnection:
        wait: tuple[Command, ...] = ()
        if self._settings.wait_replicas:
            # Shorter than the attempt, so that one without enough replicas is no lost connection.
            milliseconds = max(1, int(self._settings.commit_timeout * 500))
            wait = ((b"WAIT", self._settings.wait_replicas, milliseconds),)
        return LockedConnection(client, self._ledger, self._marker_key, wait)

    def _settled(self, flight: Flight, outcome: Outcome) -> bool:
        """Note that a flight is in Redis; return whether it is the batch that was asked for."""
        if self._replays.settled(flight, outcome, anyio.current_time()):
            return False
        self._flight = None
        return True

    async def _attempt(self, flight: Flight) -> Outcome | None:
        """Return the outcome of a flight, or None if it has to be tried again at once."""
        if self._is_doubtful(flight.batch):
            return self._outcome_in_doubt(flight)
        armed = await self._lock(flight)
        found = self._overwritten(flight) if armed.marker is None else armed.marker
        if found.number >= flight.number:
            self._acknowledged = found
            return await self._found(flight, found)
        if self._notices_change(flight, found, armed):
            return None

        attempt = flight.begin_attempt()
        marker = Marker(flight.number, attempt, self._session, flight.batch.edition)
        made = await self._decide(flight, armed, marker)
        flight.undecided = 0
        flight.attempts[marker.attempt] = flight.outcome(made)
        try:
            executed = await self._connection.transact(made.commands)
        except ResponseError:  # refused: nothing was applied
            del flight.attempts[marker.attempt]
            raise
        if executed.results is None:
            del flight.attempts[marker.attempt]
            self._ledger.aborts += 1
            return None

        self._ledger.commits += 1
        self._ledger.last_commit_at = time.monotonic()
        self._acknowledged = marker
        outcome = flight.attempts[marker.attempt] = flight.outcome(made, executed.results)
        return outcome if self._is_replicated(executed.replicas) else None

    async def _lock(self, flight: Flight) -> Armed:
        """Return what was read under the lock; just now, if it says that our clock is ahead."""
        armed = await self._connection.lock(flight.batch.destinations)
        lead = self._settings.max_clock_lead
        if not self._connection.is_fresh and is_ahead(flight.batch, self._server_time(armed), lead):
            # The machine may have been suspended since then, which monotonic time does not show.
            self._connection.unlock()
            armed = await self._connection.lock(flight.batch.destinations)
        return armed

    def _server_time(self, armed: Armed) -> float:
        return armed.server_time + self._connection.age

    def _pull_back(self, batch: Batch, armed: Armed) -> tuple[Batch, Ahead]:
        return pull_back(batch, self._server_time(armed), self._settings.max_clock_lead)

    async def _found(self, flight: Flight, found: Marker) -> Outcome | None:
        """Return the outcome of a flight that is in Redis already, as the marker says."""
        outcome = self._outcome_of(flight, found)
        if outcome.in_doubt or not self._settings.wait_replicas:
            return outcome

        # WAIT speaks of what was written over its own connection, so something has to be.
        executed = await self._connection.transact([found.command(self._marker_key)])
        if executed.results is None or not self._is_replicated(executed.replicas):
            return None
        return outcome

    def _outcome_of(self, flight: Flight, found: Marker) -> Outcome:
        """Return what became of a flight that the marker says is in Redis."""
        batch = flight.batch
        if found.session == self._session and found.attempt in flight.attempts:
            return flight.attempts[found.attempt]
        if found.edition < batch.edition:
            # From an earlier copy of our buffer: nobody can tell which of our entries were in it.
            self._doubtful = batch
            return self._outcome_in_doubt(flight)
        if found.session and found.session not in self._sessions:
            self._alarm.warn(
                "copy",
                "another process has a copy of this spool, and has written entries from it; "
                "they are counted once. Give each process a spool of its own",
            )
        # One that another process sent is known to be counted, but not what as.
        return Outcome(counted=calls_of(flight.parts))

    def _outcome_in_doubt(self, flight: Flight) -> Outcome:
        # Also what was set apart: the other process may have written that, too.
        calls = calls_of(flight.parts)
        self._alarm.warn(
            "copy in doubt",
            f"another process has a copy of this spool, and may have written {calls} of our "
            "entries; they are dropped here. Give each process a spool of its own",
        )
        why = "another process has a copy of this spool, and may have counted it"
        losses: dict[Group | Destination, str] = {}
        for batch in flight.parts:
            losses |= dict.fromkeys(batch.counts, why) | dict.fromkeys(batch.recent, why)
        return Outcome(in_doubt=calls, errors=losses)

    def _is_doubtful(self, batch: Batch) -> bool:
        """Whether a batch was made from the buffer together with one that is in doubt."""
        return self._doubtful is not None and (
            (batch.producer, batch.edition) == (self._doubtful.producer, self._doubtful.edition)
        )

    def _is_replicated(self, replicas: Reply) -> bool:
        """Tell whether enough replicas have a commit, warning if they don't."""
        wanted = self._settings.wait_replicas
        if not wanted:
            return True
        if isinstance(replicas, ResponseError):
            raise replicas
        if replicas >= wanted:
            return True
        self._ledger.last_error = f"{replicas} of {wanted} replicas have acknowledged a commit"
        self._alarm.warn(
            "replicas",
            f"{self._ledger.last_error}: it is in Redis, and is waited for; check the replicas, "
            "or lower wait_replicas",
        )
        return False

    def _overwritten(self, flight: Flight) -> Marker:
        """Return what the marker was before another program wrote to it, if that is certain."""
        follows = flight is not self._flight or self._acknowledged.number == flight.number - 1
        if flight.in_doubt or not follows:
            raise ResponseError(
                "another program has written to our marker while a batch was in doubt"
            )
        return self._acknowledged

    def _notices_change(self, flight: Flight, marker: Marker, armed: Armed) -> bool:
        """Return whether Redis has less than it had acknowledged, or more than it then had left.

        Something else than this flight may have to be written first.
        """
        now = anyio.current_time()
        if marker.number < self._acknowledged.number:
            self._acknowledged = marker
            return self._notices_loss(marker, armed, now)
        if self._replays.take_out(flight, marker.number, now):
            self._acknowledged = marker
            return True
        return False

    def _notices_loss(self, marker: Marker, armed: Armed, now: float) -> bool:
        if marker == Marker() and now - self._replays.settled_at >= MARKER_SECONDS:
            # The marker of an idle producer has expired, and nothing else.
            self._replays.forget(silently=True)
            return False
        if marker == Marker() and any(state.start for state in armed.states.values()):
            # It was evicted or deleted, and the counts were not.
            self._replays.forget(silently=False)
            return False
        self._replays.lose(marker.number, now)
        return True

    async def _decide(self, flight: Flight, armed: Armed, marker: Marker) -> Transaction:
        """Return the transaction, after a look into the sets that may not take every message."""
        limit = self._settings.max_members
        with _deciding(armed):
            batch, ahead = self._pull_back(flight.batch, armed)
            placements = place(batch, armed, self._settings.history_hours, limit)
            crowded = [placement for placement in placements if placement.room is None]
            looks = [command for placement in crowded for command in look(placement)]
        replies = iter(await self._connection.exchange(looks) if looks else ())

        admitted = []
        with _deciding(armed):
            for placement in placements:
                if placement.room is None:
                    messages = admit_seen(placement.messages, next(replies), next(replies), limit)
                else:
                    messages = admit(placement.messages, (), placement.room)
                admitted.append((placement, messages))
            mark = marker.command(self._marker_key)
            return transaction(batch, admitted, armed.foreign, mark, ahead)

    def _check(self, armed: Armed) -> Callable[[Batch], object]:
        """Return a function that raises for a batch of which no transaction can be made."""

        def check(part: Batch) -> None:
            batch, ahead = self._pull_back(part, armed)
            placements = place(batch, armed, self._settings.history_hours, 1)
            admitted = [(placement, placement.messages) for placement in placements]
            mark = Marker().command(self._marker_key)
            transaction(batch, admitted, armed.foreign, mark, ahead).outcome()

        return check

    def _report(self, flight: Flight, error: Exception) -> None:
        """Enter a fault, and warn of it."""
        if isinstance(error, _UndecidedError):
            self._report_undecided(flight, error)
            return
        if isinstance(error, ResponseError | AuthenticationError):
            self._ledger.refusals += 1
        elif isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
            self._ledger.timeouts += 1
        else:
            self._ledger.lost_connections += 1
        self._ledger.last_error = describe(error)
        self._alarm.warn(
            "fault",
            f"Redis can't be written to: {describe(error)}; entries are kept and tried again",
        )

    def _report_undecided(self, flight: Flight, error: _UndecidedError) -> None:
        """Have a batch that fails again and again go on without what it fails for."""
        self._ledger.last_error = str(error)
        flight.undecided += 1
        if flight.undecided < _UNDECIDED_ATTEMPTS:
            return
        calls = flight.set_apart(self._check(error.armed), f"it can't be written: {error}")
        self._alarm.warn(
            "failed",
            f"{calls} entries are dropped, because an unexpected error keeps them from being "
            f"written: {error}; please report it",
        )


@contextlib.contextmanager
def _deciding(armed: Armed) -> Iterator[None]:
    """Tell a fault of ours, before anything is sent, from one of Redis."""
    try:
        yield
    except RedisError:  # what Redis answered to a look
        raise
    except Exception as error:
        raise _UndecidedError(armed, error) from error
