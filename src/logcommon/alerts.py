"""Changes as a stream: each that someone should look at, once."""

import hashlib
from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from logcommon.model import Change, Hour, hour_text
from logcommon.read.executor import QueryExecutor
from logcommon.read.queries import Query
from logcommon.schema.commands import Reply, claim

MOST_ALERTS = 100
"""Changes that are looked at: more at once are one incident."""

KINDS = frozenset({"new", "back", "rising"})
"""What is worth an alert: what is less than before seldom wakes anybody."""


def is_alarming(change: Change, at_least: float, least: int) -> bool:
    """Return whether someone should look at a change.

    Args:
        change: The change.
        at_least: The factor by which its rate went up at least.
        least: How often the message was counted at least.

    """
    return change.kind in KINDS and change.at_least >= at_least and change.after >= least


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
