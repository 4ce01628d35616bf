"""One Redis connection, driven below redis-py's client: many commands in one write.

redis-py's own pipeline can't hold a WATCH behind an EXEC, executes a transaction again by itself if
the reply was lost, and reports a dead connection as a `WatchError`. A transaction that must happen
exactly once needs to know what it sent. So `exchange` is the only function of this package that
sends on a connection and reads from it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, cast

import anyio
from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,  # noqa: A004  # redis-py's own, which is not the built-in one
    ResponseError,
)

from logcommon.schema.commands import Command, Reply


class Connection(Protocol):
    """The part of `redis.asyncio.Connection` that we use; `fakeredis` has it too."""

    is_connected: bool

    async def connect(self) -> None: ...
    async def can_read(self) -> bool: ...
    async def disconnect(self, nowait: bool = False) -> None: ...  # noqa: FBT001, FBT002
    async def send_packed_command(
        self,
        command: list[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002
    ) -> None: ...
    async def read_response(self, *, disable_decoding: bool = False) -> Reply: ...


def dedicated_connection(client: Redis) -> Connection:
    """Return a new connection, not yet connected, to the server of `client`.

    It belongs to the caller, not to the client's pool. It does nothing by itself: no retries, no
    health checks, no maintenance notifications. It has no time-out either, as the caller sets one
    deadline for a whole exchange.
    """
    pool = client.connection_pool
    settings = {
        **pool.connection_kwargs,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "retry_on_error": [],
        "health_check_interval": 0,
        "maint_notifications_config": None,
        "maint_notifications_pool_handler": None,
        "socket_timeout": None,
    }

    return cast("Connection", pool.connection_class(**settings))


@asynccontextmanager
async def pooled_connection(client: Redis) -> AsyncIterator[Connection]:
    """Lend a connection from the client's pool; disconnect it first if the block raises."""
    pool = client.connection_pool
    pooled = await pool.get_connection()
    connection = cast("Connection", pooled)

    try:
        yield connection
    except BaseException:
        # Its next user must not get a connection with a WATCH or queued commands on it.
        await connection.disconnect(nowait=True)
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await pool.release(pooled)


async def is_usable(connection: Connection) -> bool:
    """Return whether an idle connection is still open on both sides, with nothing left to read."""
    return connection.is_connected and not await connection.can_read()


async def exchange(connection: Connection, commands: Sequence[Command]) -> list[Reply]:
    """Send `commands` in one write, and return the reply to each; errors among them don't raise.

    Any exception, a cancellation too, disconnects (redis-py does that): a connection with replies
    still to come can't be used again.

    Raises:
        redis.exceptions.ConnectionError: The connection is or was lost.

    """
    # send_packed_command would connect again by itself, and so lose a WATCH.
    if not connection.is_connected:
        raise ConnectionError("the connection is closed")

    # In C: redis-py packs in Python, which takes longer than the rest of a commit.
    packed = b"".join(pack_command(_in_bytes(command)) for command in commands)  # type: ignore[arg-type]  # its stub says 1-tuple
    await connection.send_packed_command([packed], check_health=False)

    return [await _read_reply(connection) for _ in commands]


def _in_bytes(command: Command) -> tuple[bytes, ...]:
    """Return a command without numbers.

    If a signal handler raises while hiredis formats a number, the process crashes.
    """
    return tuple([b"%d" % each if isinstance(each, int) else each for each in command])


async def _read_reply(connection: Connection) -> Reply:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
