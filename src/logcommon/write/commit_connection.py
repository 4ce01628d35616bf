"""The connection that commits go over, with the optimistic lock that is held on it.

The WATCH for the next transaction follows the EXEC of this one in the same write, so that a commit
takes one round trip.
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
from logcommon.settings import Settings
from logcommon.stats import Ledger
from logcommon.write.watch import Watched, read_watched, watch_commands

_WATCHED_DESTINATIONS = 16
"""Destinations that are watched between commits; any other costs a round trip."""

_FRESH = 1.0
"""Seconds after a read in which the server's time can be computed from it."""


class Executed(NamedTuple):
    """What Redis answered to a transaction."""

    results: Sequence[Reply] | None
    """The results of EXEC, None if a watched key had changed."""
    replicas: Reply
    """What WAIT returned, if it was sent."""


class CommitConnection:
    """One connection to Redis, and what was read under the WATCH that is held on it.

    Args:
        client: Where to connect.
        ledger: Counts connections and commands.
        settings: Whether to WAIT for replicas after each EXEC, and how long.
        marker_key: The producer's marker, which is always watched.

    """

    def __init__(
        self, client: Redis, ledger: Ledger, settings: Settings, marker_key: bytes
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._marker_key = marker_key
        self._wait = _wait_commands(settings)
        self._connection: Connection | None = None
        self._watched: Watched | None = None
        self._read_at = self._read_at_wall = 0.0
        self._destinations: dict[Destination, None] = {}  # the least recently used first

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and self._connection.is_connected

    @property
    def age(self) -> float:
        """Seconds since the last read, without those in which the machine was suspended."""
        return anyio.current_time() - self._read_at

    @property
    def is_fresh(self) -> bool:
        """Whether the last read was just now, by every clock of this machine."""
        return max(self.age, abs(time.time() - self._read_at_wall)) <= _FRESH

    async def watch(self, destinations: set[Destination]) -> Watched:
        """Return what was read under WATCH; watch and read first unless that was done."""
        for destination in destinations:
            self._destinations.pop(destination, None)
            self._destinations[destination] = None
        if self._connection is None or not await is_usable(self._connection):
            # A server may close an idle connection. That is no fault: nothing was under way.
            await self.disconnect()
            await self._connect()

        # A destination of the wrong type is read again: it may have been put right meanwhile.
        if self._watched is None or not destinations <= self._watched.states.keys():
            watching = list(self._destinations)
            self._read(watching, await self.exchange(watch_commands(self._marker_key, watching)))
        while len(self._destinations) > max(_WATCHED_DESTINATIONS, len(destinations)):
            del self._destinations[next(iter(self._destinations))]

        assert self._watched is not None  # noqa: S101  # `_read` has set it, or raised
        return self._watched

    def watch_marker(self, marker_key: bytes) -> None:
        """Watch the marker of another producer from now on."""
        self._marker_key = marker_key
        self.discard_read()

    def discard_read(self) -> None:
        """Make the next `watch` read everything again."""
        self._watched = None

    async def transact(self, commands: Sequence[Command]) -> Executed:
        """Execute a transaction, and watch for the next one, in one write.

        Raises:
            redis.exceptions.ResponseError: Redis refused the transaction; nothing was applied.

        """
        watching, wait = list(self._destinations), self._wait
        self._watched = None
        replies = await self.exchange(
            [MULTI, *commands, EXEC, *wait, *watch_commands(self._marker_key, watching)]
        )

        end = len(commands) + 2
        try:
            self._read(watching, replies[end + len(wait) :])
        except ResponseError:
            self._watched = None  # the reply of EXEC stands; the next attempt watches by itself

        for reply in replies[:end]:
            if isinstance(reply, ResponseError):
                raise reply
        return Executed(replies[end - 1], replies[end] if wait else None)

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands in one write, and return a reply for each."""
        assert self._connection is not None  # noqa: S101  # `watch` has connected
        self._ledger.commands += len(commands)
        return await exchange(self._connection, commands)

    async def disconnect(self) -> None:
        """Drop the connection. Redis then forgets what it watched."""
        self._watched = None
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def _read(self, destinations: Sequence[Destination], replies: Sequence[Reply]) -> None:
        self._watched = read_watched(destinations, replies)
        self._read_at, self._read_at_wall = anyio.current_time(), time.time()

    async def _connect(self) -> None:
        if self._connection is None:
            # Only once: with TLS, redis-py reads the trusted authorities from disk for each.
            self._connection = dedicated_connection(self._client)
        await self._connection.connect()
        self._ledger.connects += 1

        # A server that refuses MULTI (an ACL without it) would execute what follows outside of any
        # transaction, so nothing may follow before this is known.
        for reply in await self.exchange([MULTI, EXEC]):
            if isinstance(reply, ResponseError):
                raise reply


def _wait_commands(settings: Settings) -> list[Command]:
    if not settings.wait_replicas:
        return []
    # Shorter than the attempt, so that missing replicas don't look like a lost connection.
    milliseconds = max(1, int(settings.commit_timeout * 500))
    return [(b"WAIT", settings.wait_replicas, milliseconds)]
