"""The book's two functions, `log_recent` and `log_common`: one transaction per call.

*Redis in Action*, section 5.1.2, listing 5.2. They need nothing but a `redis.asyncio` client. For
many messages use `CommonLog`, which writes in batches and counts exactly even if replies are lost.
"""

import logging
import time
from collections.abc import Sequence

import anyio
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from logcommon.exceptions import CommitTimeoutError, NotWrittenError, OutcomeUnknownError
from logcommon.model import Clock, Destination, Hour, Severity, hour_of, minute_of, require_text
from logcommon.schema.commands import (
    EXEC,
    MULTI,
    Command,
    Reply,
    count,
    count_minute,
    push_recent,
    register,
)
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

_RETRY_DELAY = 0.05
"""Seconds between two attempts to reach a server."""


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
        pipe: A pipeline to add the commands to. It is then executed, as in the book.
        clock: Returns seconds since the epoch.

    Raises:
        InvalidArgumentError: The name, the message or the severity can't be used.
        OutcomeUnknownError: The connection was lost: the message may or may not be in the log.
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
    """Count `message` in the common log of `name` and `severity`, and put it on the recent log.

    If a new hour has begun, the counts so far become those of the last hour. This happens under the
    book's optimistic lock: WATCH, MULTI, EXEC, retried if another program was faster.

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
        NotWrittenError: The hour, by `clock`, is older than the hours that are kept, or begins more
            than an hour after the server's time; nothing was counted.

    """
    require_text(message)
    transaction = _Transaction(Destination.of(name, severity), message, clock())
    with anyio.move_on_after(timeout):
        while not await transaction.attempt(conn):
            pass
        return

    if transaction.in_doubt:
        raise OutcomeUnknownError(transaction.key)
    raise CommitTimeoutError(transaction.key, transaction.attempts, transaction.fault)


class _Transaction:
    """The transaction of one call of `log_common`, through every attempt at it."""

    def __init__(self, destination: Destination, message: str, logged_at: float) -> None:
        self._destination = destination
        self._keys = destination_keys(destination)
        self._message = message
        self._logged_at = logged_at
        self.attempts = 0
        self.in_doubt = False
        """Whether EXEC was sent without an answer, so that Redis may have executed it."""
        self.fault: str | None = None
        """The error that ended the last attempt."""

    @property
    def key(self) -> str:
        return self._keys.current.decode()

    async def attempt(self, conn: Redis) -> bool:
        """Make one attempt; return whether the transaction was executed.

        Raises:
            OutcomeUnknownError: The connection was lost after EXEC was sent.
            LogCommonError: Redis refused, and would refuse another attempt.

        """
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

        await anyio.sleep(_RETRY_DELAY)
        return False

    async def _transact(self, connection: Connection) -> bool:
        # MULTI is answered before anything is queued. If it is refused, as by an ACL, the commands
        # can't run outside a transaction. Each key is read by a GET: MGET would return nil for a
        # key of the wrong type, and that would be overwritten.
        watched = (self._keys.start, self._keys.previous_start)
        gets = [(b"GET", key) for key in watched]
        replies = await exchange(connection, [(b"WATCH", *watched), *gets, (b"TIME",), MULTI])
        _raise_refusal(replies)

        _, start, previous_start, time, _ = replies
        state = HourState.read(start, previous_start)
        hour = self._hour(int(time[0]))
        commands = self._commands(plan_hour(self._keys, state, hour, DEFAULT_HISTORY_HOURS))

        self.in_doubt = True
        replies = await exchange(connection, [*commands, EXEC])
        self.in_doubt = False
        if replies[-1] is None:  # another program has changed a watched key
            return False
        _raise_refusal(replies, commands)
        return True

    def _hour(self, server_time: int) -> Hour:
        """Return the hour to count in, unless the clock is too far ahead to begin a new hour."""
        hour = hour_of(self._logged_at)
        if hour >= first_hour_ahead(server_time, DEFAULT_CLOCK_LEAD):
            raise NotWrittenError(
                f"{self.key}: the clock is {self._logged_at - server_time:.0f} seconds ahead of "
                "the Redis server's: synchronize the clocks"
            )
        return hour

    def _commands(self, plan: HourPlan) -> list[Command]:
        if plan.key is None:
            raise NotWrittenError(
                f"{self.key}: the entry's hour is older than the hours kept: check the clock"
            )
        return [
            *plan.before,
            count(plan.key, 1, self._message),
            count_minute(plan.key, minute_of(self._logged_at), 1),
            *plan.after,
            *push_recent(self._keys, [(self._message, self._logged_at)]),
            register([self._destination]),
        ]


def _raise_refusal(replies: Sequence[Reply], commands: Sequence[Command] = ()) -> None:
    """Raise the first error among replies, including the results of an EXEC at their end."""
    executed = replies[-1] if isinstance(replies[-1], list) else []
    for command, result in zip(commands, executed, strict=False):
        if isinstance(result, ResponseError) and not is_missing_set(command, result):
            raise translate(result)
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise translate(reply)
