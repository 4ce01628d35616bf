"""Turns what `connect` is given, a URL, a client or `embedded:`, into a client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import redis
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from logcommon.exceptions import InvalidArgumentError
from logcommon.runtime.threads import run_in_thread
from logcommon.server.embedded import EmbeddedServer
from logcommon.server.errors import CLUSTER_UNSUPPORTED
from logcommon.server.sentinel import close_sentinels
from logcommon.server.url import check_url, client_for_url, without_credentials

EMBEDDED = "embedded:"
"""The prefix of an embedded server; a directory may follow."""


class Target:
    """Where a client connects: a URL, the caller's own client, or `embedded:`.

    `str` of it is the address, without credentials.

    Args:
        given: What `connect` was given.

    Raises:
        InvalidArgumentError: The target can't be used.
        EmbeddedServerError: There can be no embedded server for this user, or on this platform.

    """

    def __init__(self, given: object) -> None:
        self._given = _checked(given)
        self._embedded = _embedded_server(self._given)

    def __str__(self) -> str:
        if isinstance(self._given, Redis):
            return _address_of(self._given)
        if self._embedded is not None:
            return self._given
        return without_credentials(self._given)

    async def open(self) -> Redis:
        """Return a client for the target; start the embedded server first, if it is one.

        Raises:
            EmbeddedServerError: The embedded server can't be started.

        """
        if self._embedded is None:
            return client_for_url(self._given) if isinstance(self._given, str) else self._given

        try:
            await run_in_thread(self._embedded.start)
        except asyncio.CancelledError:
            await run_in_thread(self._embedded.stop)
            raise

        return client_for_url(self._embedded.url)

    async def close(self, client: Redis) -> None:
        """Close a client that `open` returned, unless it is the caller's; leave the server.

        Raises:
            EmbeddedServerError: The embedded server can't be stopped.

        """
        try:
            if client is not self._given:
                await client.aclose()
                await close_sentinels(client)
        finally:
            if self._embedded is not None:
                await run_in_thread(self._embedded.stop)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Redis]:
        """Lend a client for the target; raises as `open` and `close` do."""
        client = await self.open()
        try:
            yield client
        finally:
            with anyio.CancelScope(shield=True):  # a cancelled anyio scope cancels every await
                await self.close(client)


def _checked(given: object) -> "str | Redis":
    if isinstance(given, Redis):
        return given
    if isinstance(given, RedisCluster | redis.RedisCluster):
        raise InvalidArgumentError(CLUSTER_UNSUPPORTED)
    if isinstance(given, redis.Redis):
        raise InvalidArgumentError(
            "a redis.Redis blocks the event loop: give a redis.asyncio.Redis"
        )
    if not isinstance(given, str):
        raise InvalidArgumentError(
            f"connect takes a URL or a redis.asyncio client, not {type(given).__name__}"
        )

    if not given.startswith(EMBEDDED):
        check_url(given)
    return given


def _address_of(client: Redis) -> str:
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return f"Sentinel master {pool.service_name}"

    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    return f"{scheme}://{options.get('host')}:{options.get('port')}/{options.get('db') or 0}"


def _embedded_server(given: "str | Redis") -> EmbeddedServer | None:
    if isinstance(given, Redis) or not given.startswith(EMBEDDED):
        return None
    directory = given.removeprefix(EMBEDDED)
    return EmbeddedServer(Path(directory) if directory else None)
