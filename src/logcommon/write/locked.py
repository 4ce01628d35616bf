"""The connection that commits go over, and the book's optimistic lock, which is held on it.

The lock for the next transaction is taken behind the EXEC of this one, in the same write, so the
steady state is one round trip.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import anyio
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from logcommon.model import Destination
from logcommon.schema.commands import EXEC, MULTI, Command, Reply
from logcommon.server.connection import Connection, dedicated_connection, exchange, is_usable
from logcommon.stats import Ledger
from logcommon.write.transaction import Armed, arm, read_armed

_WATCHED_DESTINATIONS = 16
"""Destinations under lock between commits; one that is not among them costs a round trip."""

_FRESH = 1.0
"""Seconds for which the server's time is known from the one that was read."""


class Executed(NamedTuple):
    """What Redis answered to a transaction."""

    results: Sequence[Reply] | None
    """The results of EXEC, None if the lock was lost."""
    replicas: Reply
    """What WAIT returned, if it was asked."""


class LockedConnection:
    """One connection to Redis, with the WATCH that is held on it.

    Args:
        client: Where to connect.
        ledger: Where connections and commands are counted.
        marker_key: The producer's marker, which is always watched.
        wait: A command that is sent behind each EXEC; none if empty.

    """

    def __init__(
        self, client: Redis, ledger: Ledger, marker_key: bytes, wait: Sequence[Command] = ()
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._marker_key = marker_key
        self._wait = wait
        self._connection: Connection | None = None
        self._armed: Armed | None = None
        self._armed_at = self._armed_at_wall = 0.0
        self._watched: dict[Destination, None] = {}

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and self._connection.is_connected

    @property
    def age(self) -> float:
        """Seconds since the lock was taken, short of those in which the machine was suspended."""
        return anyio.current_time() - self._armed_at

    @property
    def is_fresh(self) -> bool:
        """Whether the lock was taken just now, by any clock of this machine."""
        return max(self.age, abs(time.time() - self._armed_at_wall)) <= _FRESH

    async def lock(self, destinations: set[Destination]) -> Armed:
        """Return what was read under the lock, taking it first unless it is held."""
        for destination in destinations:
            self._watched.pop(destination, None)
            self._watched[destination] = None
        if self._connection is None or not await is_usable(self._connection):
            # A server may close an idle connection; that is no fault, and nothing was under way.
            await self.disconnect()
            await self._connect()

        # What is foreign is looked at again: that set may have been put right long ago.
        if self._armed is None or not destinations <= self._armed.states.keys():
            watched = list(self._watched)
            self._arm(watched, await self.exchange(arm(self._marker_key, watched)))
        while len(self._watched) > max(_WATCHED_DESTINATIONS, len(destinations)):
            del self._watched[next(iter(self._watched))]
        assert self._armed is not None  # noqa: S101  # `_arm` has set it, or raised
        return self._armed

    def watch_marker(self, marker_key: bytes) -> None:
        """Watch another marker, of another producer."""
        self._marker_key = marker_key
        self.unlock()

    def unlock(self) -> None:
        """Have the next `lock` read everything again."""
        self._armed = None

    async def transact(self, commands: Sequence[Command]) -> Executed:
        """Execute a transaction and take the lock for the next one, in one write.

        Raises:
            redis.exceptions.ResponseError: Redis refused the transaction; nothing was applied.

        """
        watched, wait = list(self._watched), self._wait
        self._armed = None
        replies = await self.exchange(
            [MULTI, *commands, EXEC, *wait, *arm(self._marker_key, watched)]
        )
        end = len(commands) + 2
        try:
            self._arm(watched, replies[end + len(wait) :])
        except ResponseError:
            self._armed = None  # what EXEC answered stands; the next attempt locks for itself

        for reply in replies[:end]:
            if isinstance(reply, ResponseError):
                raise reply
        return Executed(replies[end - 1], replies[end] if wait else None)

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands in one write, and return a reply for each."""
        if self._connection is None:
            raise ConnectionError("the connection is closed")
        self._ledger.commands += len(commands)
        return await exchange(self._connection, commands)

    async def disconnect(self) -> None:
        """Drop the connection, and with it the lock."""
        self._armed = None
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def _arm(self, watched: Sequence[Destination], replies: Sequence[Reply]) -> None:
        self._armed = read_armed(watched, replies)
        self._armed_at, self._armed_at_wall = anyio.current_time(), time.time()

    async def _connect(self) -> None:
        if self._connection is None:
            # Made once: with TLS, redis-py reads the trusted authorities from disk for each.
            self._connection = dedicated_connection(self._client)
        await self._connection.connect()
        self._ledger.connects += 1
        # A server that refuses MULTI (an ACL without it) would run what follows outside of any
        # transaction, so that is found out before anything follows.
        for reply in await self.exchange([MULTI, EXEC]):
            if isinstance(reply, ResponseError):
                raise reply
