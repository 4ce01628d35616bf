"""The book's two functions, `log_recent` and `log_common`: one transaction a call.

*Redis in Action*, section 5.1.2, listing 5.2. They need nothing but a `redis.asyncio` client. For
many messages use `CommonLog`, which sends them in batches and settles lost replies exactly.
"""

import logging
import time
from collections.abc import Sequence

import anyio
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from logcommon.exceptions import CommitTimeoutError, NotWrittenError, OutcomeUnknownError
from logcommon.model import Clock, Destination, Hour, Severity, hour_of, require_text
from logcommon.schema.commands import EXEC, MULTI, Command, Reply, count, push_recent, register
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import (
    HourPlan,
    HourState,
    first_hour_ahead,
    is_missing_set,
    plan_hour,
)
from logcommon.server.connection import Connection, exchange, pooled_connection
from logcommon.server.errors import CONNECTION_LOST, describe, translate
from logcommon.settings import DEFAULT_CLOCK_LEAD, DEFAULT_HISTORY_HOURS

_PAUSE = 0.05
"""Seconds between attempts to reach a server that can't be reached."""


async def log_recent(
    conn: Redis,
    name: str,
    message: str,
    severity: Severity = logging.INFO,
    pipe: Pipeline | None = None,
    *,
    clock: Clock = time.time,
) -> None:
    """Put `message` on top of the recent log of `name` and `severity`, which keeps the newest 100.

    Args:
        conn: A `redis.asyncio` client.
        name: The service.
        message: The message.
        severity: A `logging` level, or any text.
        pipe: A pipeline to add the commands to; it is then executed, as the book does.
        clock: Returns seconds since the epoch.

    Raises:
        InvalidArgumentError: The name, the message or the severity can't be used.
        OutcomeUnknownError: The connection was lost, so the message may stand in the log or not.
        ServerUnavailableError: Redis can't be reached.
        ServerRefusedError: Redis refused a command; that command changed nothing.

    """
    require_text(message)
    destination = Destination.of(name, severity)
    keys = destination_keys(destination)
    commands = (register([destination]), *push_recent(keys, [(message, clock())]))
    if pipe is not None:
        for command in commands:
            pipe.execute_command(*command)
        await pipe.execute()
        return
    try:
        async with pooled_connection(conn) as connection:
            try:
                replies = await exchange(connection, [MULTI, *commands, EXEC])
            except CONNECTION_LOST:
                raise OutcomeUnknownError(keys.recent.decode()) from None
    except (RedisError, OSError) as error:
        raise translate(error) from None
    _raise_refusal(replies, commands)


async def log_common(
    conn: Redis,
    name: str,
    message: str,
    severity: Severity = logging.INFO,
    timeout: float = 5,
    *,
    clock: Clock = time.time,
) -> None:
    """Count `message` in the common log of `name` and `severity`, and log it as recent.

    Where the hour has turned, the counts so far become those of the last hour, under the book's
    optimistic lock: WATCH, MULTI, EXEC, and again when another program was faster.

    Args:
        conn: A `redis.asyncio` client.
        name: The service.
        message: The message.
        severity: A `logging` level, or any text.
        timeout: Seconds, for all attempts together.
        clock: Returns seconds since the epoch.

    Raises:
        InvalidArgumentError: The name, the message or the severity can't be used.
        CommitTimeoutError: Time ran out; nothing was counted.
        OutcomeUnknownError: The connection was lost, or time ran out, after EXEC was sent: the
            message was counted once or not at all.
        LoginRefusedError: Redis refused the user or the password.
        ServerRefusedError: Redis refused a command; that command changed nothing.
        NotWrittenError: The hour, by `clock`, is older than what is kept, or begins more than an
            hour after the server's time; nothing was counted.

    """
    require_text(message)
    call = _Call(Destination.of(name, severity), message, clock())
    with anyio.move_on_after(timeout):
        while not await call.attempt(conn):
            pass
        return
    if call.in_doubt:
        raise OutcomeUnknownError(call.key)
    raise CommitTimeoutError(call.key, call.attempts, call.fault)


class _Call:
    """One call of `log_common`, and what is known of it."""

    def __init__(self, destination: Destination, message: str, now: float) -> None:
        self._destination = destination
        self._keys = destination_keys(destination)
        self._message = message
        self._now = now
        self.attempts = 0
        self.in_doubt = False
        self.fault: str | None = None

    @property
    def key(self) -> str:
        return self._keys.current.decode()

    async def attempt(self, conn: Redis) -> bool:
        """Return whether the transaction was executed; it was not tried where that is in doubt."""
        self.attempts += 1
        try:
            async with pooled_connection(conn) as connection:
                return await self._transact(connection)
        except AuthenticationError as error:
            raise translate(error) from None
        except CONNECTION_LOST as error:
            if self.in_doubt:
                raise OutcomeUnknownError(self.key) from None
            self.fault = describe(error)
        except (RedisError, OSError) as error:
            raise translate(error) from None
        await anyio.sleep(_PAUSE)
        return False

    async def _transact(self, connection: Connection) -> bool:
        watched = (self._keys.start, self._keys.previous_start)
        # MULTI is acknowledged before anything is queued, so a refused one (an ACL without it)
        # can't leave the commands to run outside a transaction.
        # Not MGET: it returns nil for a key of the wrong type, which would be overwritten.
        gets = [(b"GET", key) for key in watched]
        armed = await exchange(connection, [(b"WATCH", *watched), *gets, (b"TIME",), MULTI])
        _raise_refusal(armed)
        _, start, previous_start, time, _ = armed
        state = HourState.read(start, previous_start)
        step = plan_hour(self._keys, state, self._hour(int(time[0])), DEFAULT_HISTORY_HOURS)
        commands = self._commands(step)
        self.in_doubt = True
        replies = await exchange(connection, [*commands, EXEC])
        self.in_doubt = False
        if replies[-1] is None:
            return False
        _raise_refusal(replies, commands)
        return True

    def _hour(self, server_time: int) -> Hour:
        """Return the call's hour, which must not be turned to by a clock that is far ahead."""
        hour = hour_of(self._now)
        if hour >= first_hour_ahead(server_time, DEFAULT_CLOCK_LEAD):
            raise NotWrittenError(
                f"{self.key}: the clock is {self._now - server_time:.0f} seconds ahead of the "
                "Redis server's: synchronize the clocks"
            )
        return hour

    def _commands(self, step: HourPlan) -> list[Command]:
        if step.target is None:
            raise NotWrittenError(f"{self.key}: the entry's hour is older than what is kept")
        return [
            *step.before,
            count(step.target, 1, self._message),
            *step.after,
            *push_recent(self._keys, [(self._message, self._now)]),
            register([self._destination]),
        ]


def _raise_refusal(replies: Sequence[Reply], commands: Sequence[Command] = ()) -> None:
    """Raise the first error among replies, the results of an EXEC at their end included."""
    executed = replies[-1] if isinstance(replies[-1], list) else []
    for command, result in zip(commands, executed, strict=False):
        if isinstance(result, ResponseError) and not is_missing_set(command, result):
            raise translate(result)
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise translate(reply)
