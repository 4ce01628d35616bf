"""Changes as a stream: each that someone should look at, once."""

import hashlib
from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Change, Hour, hour_text
from logcommon.read.executor import QueryExecutor
from logcommon.read.queries import Query
from logcommon.schema.commands import Reply, claim

MOST_ALERTS = 100
"""Changes that are looked at: more at once are one incident."""

KINDS = frozenset({"new", "back", "rising"})
"""What is worth an alert: what is less than before seldom wakes anybody."""


def check_alerts(interval: float, at_least: float, least: int) -> None:
    """Raise InvalidArgumentError if the arguments of `changes` can't be used."""
    if interval <= 0 or at_least < 1 or least < 1:
        raise InvalidArgumentError(
            "interval must be more than 0 seconds, and at_least and least at least 1"
        )


def is_alarming(change: Change, at_least: float, least: int) -> bool:
    """Return whether someone should look at a change.

    Args:
        change: The change.
        at_least: The factor by which its rate went up at least.
        least: How often the message was counted at least.

    """
    is_more = change.kind in KINDS and change.at_least >= at_least and change.after >= least
    return is_more and not change.muted


class Claims:
    """Which changes were taken by a watcher, in Redis, so that no other takes them again."""

    def __init__(self, client: Redis) -> None:
        self._executor = QueryExecutor(client)

    async def take(self, hour: Hour, changes: Sequence[Change]) -> list[Change]:
        """Return the changes that nobody has taken in this hour; then they are taken."""
        if not changes:
            return []
        names = list(map(name_of_claim, changes))

        def parse(replies: Sequence[Reply]) -> list[Change]:
            return [each for each, is_new in zip(changes, replies[:-1], strict=True) if is_new]

        return await self._executor.ask_one(Query(claim(hour_text(hour), names), parse))


def name_of_claim(change: Change) -> str:
    """Return what stands for a change in Redis: not its text, which may be long or secret."""
    parts: Iterable[str] = (*change.destination, change.kind, change.message)
    text = "\0".join(parts)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
