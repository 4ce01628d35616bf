"""Messages that somebody knows of: they are marked, and raise no alert until they rise again."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Clock, Counted, Destination, Mute, plain_text
from logcommon.read.executor import QueryExecutor
from logcommon.read.muting import is_over
from logcommon.read.queries import Query, mutes_query
from logcommon.schema.commands import delete_mutes, put_mute

MOST_MUTES = 1_000
_LONGEST = 366 * 86_400
"""Seconds that a mute may last, unless it lasts for ever."""


class Mutes:
    """Writes mutes, which are in Redis for all who read."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._executor = QueryExecutor(client)
        self._clock = clock

    async def put(self, mute: Mute) -> None:
        """Mute a message, and forget the mutes that are over."""
        held = await self._executor.ask_one(mutes_query())
        now = self._clock()
        over = [each.message for each in held if is_over(each, now) and each != mute]
        others = {each.message for each in held} - {mute.message, *over}
        if len(others) >= MOST_MUTES:
            raise InvalidArgumentError(
                f"{len(others):,} messages are muted already: unmute some of them"
            )
        await self._executor.ask_one(Query(put_mute(mute, over), lambda _: None))

    async def remove(self, message: str) -> bool:
        """Unmute a message; return whether it was muted."""
        query = Query(delete_mutes([message]), lambda replies: bool(replies[0]))
        return await self._executor.ask_one(query)


def new_mute(
    message: str,
    seconds: float | None,
    until_rises: float | None,
    before: Mapping[Destination, Counted],
    now: float,
) -> Mute:
    """Return a mute that begins now.

    Raises:
        InvalidArgumentError: An argument can't be used.

    """
    if seconds is not None and not 0 < seconds <= _LONGEST:
        raise InvalidArgumentError("a message is muted for up to 366 days, or None for ever")
    if until_rises is not None and not 1 < until_rises < math.inf:
        raise InvalidArgumentError("until_rises must be a factor of more than 1")
    since = datetime.fromtimestamp(now, UTC)
    until = None if seconds is None else since + timedelta(seconds=seconds)
    return Mute(plain_text(message), since, until, until_rises, dict(before))
