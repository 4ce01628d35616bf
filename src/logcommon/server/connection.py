"""One Redis connection, driven below redis-py's client: many commands in one write.

redis-py's own pipeline can't hold a WATCH behind an EXEC, re-executes a transaction by itself when
its reply was lost, and reports a dead connection as a `WatchError`. A transaction that must happen
exactly once needs to know what it sent, so this is the only module that touches a connection.
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
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # redis-py's own, which is not the built-in one
    InvalidResponse,
    MasterDownError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004  # likewise
    TryAgainError,
)

from logcommon.exceptions import (
    ClusterUnsupportedError,
    LogCommonError,
    LoginRefusedError,
    ServerRefusedError,
    ServerUnavailableError,
)
from logcommon.schema.commands import Command, Reply

CLUSTER_UNSUPPORTED = (
    "Redis Cluster is not supported yet: connect to a server that runs without cluster mode"
)

CONNECTION_LOST = (ConnectionError, TimeoutError, OSError)
"""What redis-py raises where a connection could not be had or was lost."""


class Connection(Protocol):
    """What is used of `redis.asyncio.Connection`; `fakeredis` has it too."""

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
    """Return a new connection, not yet connected, to where `client` connects.

    It belongs to the caller, not to the client's pool. Nothing in it acts by itself: no retries,
    no health checks, no maintenance notifications, and no time-out: the caller's deadline is one
    for a whole exchange rather than one for each reply.
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
async def pooled_connection(conn: Redis) -> AsyncIterator[Connection]:
    """Lend a connection of the client's own pool; it goes back clean, or disconnected."""
    pool = conn.connection_pool
    pooled = await pool.get_connection()
    connection = cast("Connection", pooled)
    try:
        yield connection
    except BaseException:
        # What is watched or queued on it must not reach its next user.
        await connection.disconnect(nowait=True)
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await pool.release(pooled)


async def is_usable(connection: Connection) -> bool:
    """Tell whether an idle connection still is one: not closed by either side, nothing to read."""
    return connection.is_connected and not await connection.can_read()


async def exchange(connection: Connection, commands: Sequence[Command]) -> list[Reply]:
    """Send `commands` in one write and return a reply for each; an error reply is returned.

    Whatever else ends it, cancellation included, disconnects (redis-py sees to that): a connection
    with replies still under way can't be used again.

    Raises:
        redis.exceptions.ConnectionError: The connection is or was lost.

    """
    # send_packed_command would connect again by itself, and with that lose a WATCH.
    if not connection.is_connected:
        raise ConnectionError("the connection is closed")
    # In C: redis-py packs in Python, which takes longer than all else about a commit.
    packed = b"".join(pack_command(_in_bytes(command)) for command in commands)  # type: ignore[arg-type]  # its stub says 1-tuple
    await connection.send_packed_command([packed], check_health=False)
    return [await _read_reply(connection) for _ in commands]


def _in_bytes(command: Command) -> tuple[bytes, ...]:
    """Return a command without numbers.

    hiredis crashes the process if a signal handler raises while it makes text of one.
    """
    return tuple([b"%d" % each if isinstance(each, int) else each for each in command])


async def _read_reply(connection: Connection) -> Reply:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def is_of_a_cluster(error: BaseException) -> bool:
    """Tell whether an error is one that only a node of a Redis Cluster answers with."""
    # MovedError is an AskError. MasterDownError is a ClusterDownError, but any replica answers so.
    return isinstance(
        error, AskError | ClusterCrossSlotError | ClusterDownError | TryAgainError
    ) and not isinstance(error, MasterDownError)


def translate(error: RedisError | OSError, command: Command = ()) -> LogCommonError:
    """Return our error for one of redis-py's, without a message or a credential in its text.

    The key of `command`, if one is given, is named.
    """
    if is_of_a_cluster(error):
        return ClusterUnsupportedError(describe(error))
    text = describe(error)
    # It stays behind ours as its context, which not everyone who reports errors leaves out.
    error.args = (text,)
    if isinstance(error, AuthenticationError):
        return LoginRefusedError(
            f"Redis refused the login: {text}; check the user and the password"
        )
    if isinstance(error, (*CONNECTION_LOST, InvalidResponse)):
        return ServerUnavailableError(
            f"Redis can't be reached: {text}; check the URL and the server"
        )
    return ServerRefusedError(f"Redis refused {_named(command)}: {text}")


def _named(command: Command) -> str:
    """Return a command as text, with its first key and without what follows."""
    parts = (part.decode("utf-8", "replace") for part in command[:2] if isinstance(part, bytes))
    return " of ".join(parts) or "a command"


def describe(error: BaseException) -> str:
    """Return an error's kind and text, short of where a server quotes a command's arguments."""
    if is_of_a_cluster(error):
        return CLUSTER_UNSUPPORTED
    text = str(error).partition(", with args")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
