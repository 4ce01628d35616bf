"""Batches are made permanent, one after the other, each exactly once, over one connection.

The lock for the next batch is taken behind the EXEC of this one, in the same write, so a commit in
the steady state is one round trip and still the book's optimistic lock.
"""

import random
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import anyio
import redis.exceptions
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ResponseError

from logcommon.commands import EXEC, MULTI, Command, Reply
from logcommon.keys import marker_key
from logcommon.model import Destination, Group
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.wire import Connection, dedicated_connection, describe, exchange, is_usable
from logcommon.write.alarm import Alarm
from logcommon.write.buffer import Batch
from logcommon.write.commit import (
    MARKER_SECONDS,
    Armed,
    Marker,
    Transaction,
    admit,
    admit_seen,
    arm,
    look,
    place,
    read_armed,
    transaction,
)

_WATCHED_DESTINATIONS = 16
"""Destinations under lock between commits; one that is not among them costs a round trip."""

_HELD_BATCHES, _HELD_SECONDS = 16, 10.0
"""How many committed batches are held, and for how long, in case a failover loses them. A replica
lags by less; and what somebody deletes on purpose is not brought back for long."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between attempts: doubled after each, with jitter, so that producers spread out."""


@dataclass(slots=True)
class _Flight:
    """A batch that is not settled. It keeps its number through every attempt."""

    batch: Batch
    attempts: dict[int, Outcome] = field(default_factory=dict)
    """For each attempt that was sent, what it does if it is the one that Redis executes."""
    settled_at: float = 0


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
        self._client = client
        self._settings = settings
        self._ledger = ledger
        self._alarm = alarm
        self._session = session
        self._sessions = sessions
        self._producer = ""
        self._marker_key = b""
        self._first_number = 0
        self._doubtful: Batch | None = None
        self._acknowledged = Marker()
        self._flight: _Flight | None = None
        self._held: deque[_Flight] = deque(maxlen=_HELD_BATCHES)
        self._replays: deque[_Flight] = deque()
        self._connection: Connection | None = None
        self._armed: Armed | None = None
        self._watched: dict[Destination, None] = {}

    @property
    def in_doubt(self) -> bool:
        """Whether a batch was sent and it is not known if Redis executed it."""
        return self._flight is not None and bool(self._flight.attempts)

    async def settle(self, batch: Batch) -> Outcome:
        """Commit `batch`, however long it takes, and return what became of its calls.

        Where this was cancelled, the same batch must be given again before another one.
        """
        if batch.producer != self._producer:
            self._speak_for(batch)
        if self._flight is None or self._flight.batch is not batch:
            self._flight = _Flight(batch)
        pause = _FIRST_PAUSE
        while True:
            flight = self._replays[0] if self._replays else self._flight
            try:
                with anyio.fail_after(self._settings.commit_timeout):
                    outcome = await self._attempt(flight)
            except Exception as error:  # noqa: BLE001  # whatever it was, arming again tells
                await self._disconnect()
                self._report(error)
                await anyio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                if outcome is not None and self._settled(flight):
                    return outcome

    def _speak_for(self, batch: Batch) -> None:
        """Turn to the producer of `batch`, of whom it is the first that we settle."""
        self._producer, self._marker_key = batch.producer, marker_key(batch.producer)
        self._first_number = batch.number
        self._acknowledged, self._armed = Marker(), None
        self._held.clear()

    def _settled(self, flight: _Flight) -> bool:
        """Note that a batch is in Redis; return whether it is the one that was asked for."""
        flight.settled_at = anyio.current_time()
        if flight is not self._flight:
            self._replays.popleft()
            self._ledger.replayed_commits += 1
            return False
        self._held.append(flight)
        self._flight = None
        return True

    async def close(self, *, forget: bool) -> None:
        """Disconnect, and leave no marker behind where it is to be forgotten and none in doubt."""
        try:
            # An EXEC of ours that is still under way somewhere watched the marker: it aborts on
            # this as it would on a higher number.
            connected = self._connection is not None and self._connection.is_connected
            if forget and connected and self._marker_key and not self.in_doubt:
                await self._exchange([(b"DEL", self._marker_key)])
        except Exception as error:  # noqa: BLE001  # the marker expires by itself
            self._ledger.last_error = describe(error)
        finally:
            await self._disconnect()

    async def _attempt(self, flight: _Flight) -> Outcome | None:
        """Return the outcome of a batch, or None where the lock was lost: then try again."""
        if self._is_doubtful(flight.batch):
            return self._outcome_in_doubt(flight.batch)
        armed = await self._lock(flight.batch)
        found = self._overwritten(flight) if armed.marker is None else armed.marker
        if found.number >= flight.batch.number:
            self._acknowledged = found
            return self._outcome_of_marker(flight, found)
        if self._notices_loss(found, armed):
            return None
        flight.batch.attempts += 1
        marker = Marker(
            flight.batch.number, flight.batch.attempts, self._session, flight.batch.edition
        )
        made = await self._decide(flight.batch, armed, marker)
        flight.attempts[marker.attempt] = made.outcome()
        try:
            executed = await self._execute(made)
        except ResponseError:  # refused: nothing was applied
            del flight.attempts[marker.attempt]
            raise
        if executed is None:
            del flight.attempts[marker.attempt]
            self._ledger.aborts += 1
            return None
        self._ledger.commits += 1
        self._ledger.last_commit_at = time.monotonic()
        self._acknowledged = marker
        return made.outcome(executed)

    def _outcome_of_marker(self, flight: _Flight, found: Marker) -> Outcome:
        """Return what became of a batch that the marker says is in Redis."""
        batch = flight.batch
        if found.session == self._session and found.attempt in flight.attempts:
            return flight.attempts[found.attempt]
        if found.edition < batch.edition:
            # From an earlier copy of our buffer: nobody can tell which of our entries were in it.
            self._doubtful = batch
            return self._outcome_in_doubt(batch)
        if found.session and found.session not in self._sessions:
            self._alarm.warn(
                "copy",
                "another process has a copy of this spool, and has written entries from it; "
                "they are counted once. Give each process a spool of its own",
            )
        # One that another process sent is known to be counted, but not what as.
        return Outcome(counted=batch.calls)

    def _outcome_in_doubt(self, batch: Batch) -> Outcome:
        self._alarm.warn(
            "copy in doubt",
            f"another process has a copy of this spool, and may have written {batch.calls} of our "
            "entries; they are dropped here. Give each process a spool of its own",
        )
        why = "another process has a copy of this spool, and may have counted it"
        losses: dict[Group | Destination, str] = dict.fromkeys(batch.counts, why)
        losses.update(dict.fromkeys(batch.recent, why))
        return Outcome(in_doubt=batch.calls, errors=losses)

    def _is_doubtful(self, batch: Batch) -> bool:
        """Whether a batch was made from the buffer together with one that is in doubt."""
        return self._doubtful is not None and (
            (batch.producer, batch.edition) == (self._doubtful.producer, self._doubtful.edition)
        )

    async def _lock(self, batch: Batch) -> Armed:
        """Return what was read under the lock, after taking it where that is still to be done."""
        destinations = batch.destinations
        for destination in destinations:
            self._watched.pop(destination, None)
            self._watched[destination] = None
        if self._connection is None or not await is_usable(self._connection):
            # A server may close an idle connection; that is no fault, and nothing was under way.
            await self._disconnect()
            await self._connect()
        # What is foreign is looked at again: that set may have been put right long ago.
        if self._armed is None or not destinations <= self._armed.states.keys():
            watched = list(self._watched)
            replies = await self._exchange(arm(self._marker_key, watched))
            self._armed = read_armed(watched, replies)
        while len(self._watched) > max(_WATCHED_DESTINATIONS, len(destinations)):
            del self._watched[next(iter(self._watched))]
        return self._armed

    def _overwritten(self, flight: _Flight) -> Marker:
        """Return what the marker was before another program wrote to it, where that is sure."""
        if flight.attempts or self._acknowledged.number != flight.batch.number - 1:
            raise ResponseError(
                "another program has written to our marker while a batch was in doubt"
            )
        return self._acknowledged

    def _notices_loss(self, marker: Marker, armed: Armed) -> bool:
        """Return whether Redis has lost what it had acknowledged; queue what is held of that."""
        lost = self._acknowledged.number - max(marker.number, self._first_number - 1)
        if lost <= 0:
            return False
        self._acknowledged = marker
        held = [flight for flight in self._held if flight.batch.number > marker.number]
        age = anyio.current_time() - held[-1].settled_at if held else 0.0
        if marker == Marker() and age >= MARKER_SECONDS:
            return False  # the marker of an idle producer has expired, and nothing else
        if marker == Marker() and any(state.start for state in armed.states.values()):
            held = []  # it was evicted or deleted, and the counts were not
        self._replays = deque(
            flight for flight in held if anyio.current_time() - flight.settled_at < _HELD_SECONDS
        )
        self._ledger.lost_commits += lost - len(self._replays)
        self._alarm.warn(
            "loss",
            f"Redis has lost the marks of {lost} commits, as a failover can; "
            f"{len(self._replays)} of them are held, and are written again",
        )
        return True

    async def _decide(self, batch: Batch, armed: Armed, marker: Marker) -> Transaction:
        """Return the transaction, after a look into the sets that may not take every message."""
        limit = self._settings.max_members
        placements = place(batch, armed, self._settings.history_hours, limit)
        crowded = [placement for placement in placements if placement.room is None]
        looks = [command for placement in crowded for command in look(placement)]
        replies = iter(await self._exchange(looks) if looks else ())
        admitted = []
        for placement in placements:
            if placement.room is None:
                messages = admit_seen(placement.messages, next(replies), next(replies), limit)
            else:
                messages = admit(placement.messages, (), placement.room)
            admitted.append((placement, messages))
        return transaction(batch, admitted, armed.foreign, marker.command(self._marker_key))

    async def _execute(self, made: Transaction) -> Sequence[Reply] | None:
        """Send a transaction and take the lock for the next one, in one write.

        Return the results of EXEC, None where the lock was lost; raise what Redis refused.
        """
        watched, commands = list(self._watched), made.commands
        self._armed = None
        replies = await self._exchange([MULTI, *commands, EXEC, *arm(self._marker_key, watched)])
        end = len(commands) + 2
        try:
            self._armed = read_armed(watched, replies[end:])
        except ResponseError:
            self._armed = None  # what EXEC answered stands; the next attempt locks for itself
        for reply in replies[:end]:
            if isinstance(reply, ResponseError):
                raise reply
        results: Sequence[Reply] | None = replies[end - 1]
        return results

    async def _connect(self) -> None:
        self._armed = None
        if self._connection is None:
            # Made once: with TLS, redis-py reads the trusted authorities from disk for each.
            self._connection = dedicated_connection(self._client)
        await self._connection.connect()
        self._ledger.connects += 1
        # A server that refuses MULTI (an ACL without it) would run what follows outside of any
        # transaction, so that is found out before anything follows.
        for reply in await self._exchange([MULTI, EXEC]):
            if isinstance(reply, ResponseError):
                raise reply

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        if self._connection is None:
            raise ConnectionError("the connection is closed")
        self._ledger.commands += len(commands)
        return await exchange(self._connection, commands)

    async def _disconnect(self) -> None:
        self._armed = None
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def _report(self, error: Exception) -> None:
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
