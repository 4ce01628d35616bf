"""Executes queries, several in one write, and returns what each of them found."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Generic, TypeVar

import anyio.lowlevel
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from logcommon.exceptions import ClusterUnsupportedError, ServerRefusedError
from logcommon.model import Destination
from logcommon.read.queries import Query
from logcommon.runtime.warnings import RateLimitedWarnings
from logcommon.schema.commands import EXEC, MULTI, Reply
from logcommon.server.connection import exchange, pooled_connection
from logcommon.server.errors import translate

_AT_ONCE = 16
"""Queries in one write. Few round trips, but replies short enough not to block the event loop."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answers(Generic[_T]):
    """What the queries about several destinations found, and what Redis refused."""

    found: dict[Destination, _T] = field(default_factory=dict)
    refused: dict[Destination, ServerRefusedError] = field(default_factory=dict)

    def add(self, later: "Answers[_T]") -> None:
        """Replace what was found by what was found later."""
        self.found.update(later.found)
        self.refused.update(later.refused)


class QueryExecutor:
    """Executes queries through a client's own pool, each in a transaction of its own."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._warnings = RateLimitedWarnings()

    async def execute(self, queries: Sequence[Query[Any]]) -> list[list[Reply]]:
        """Execute each query as a transaction, all in one write, and return the replies to each."""
        transactions = [(MULTI, *query.commands, EXEC) for query in queries]
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            async with pooled_connection(self._client) as connection:
                replies = iter(await exchange(connection, list(chain(*transactions))))
        except (RedisError, OSError) as error:
            raise translate(error) from None

        # redis-py waits with `asyncio.wait_for`, which on Python 3.11 swallows a cancellation that
        # comes together with the result: https://github.com/python/cpython/issues/86296
        if task and task.cancelling() > before:
            await anyio.lowlevel.checkpoint_if_cancelled()  # a scope knows only its own error
            raise asyncio.CancelledError
        return [list(islice(replies, len(each))) for each in transactions]

    async def ask(self, queries: Mapping[Destination, Query[_T]]) -> Answers[_T]:
        """Execute a query about each destination; raises only if Redis can't be reached."""
        answers: Answers[_T] = Answers()
        asked = list(queries.items())

        for start in range(0, len(asked), _AT_ONCE):
            at_once = asked[start : start + _AT_ONCE]
            executed = await self.execute([query for _, query in at_once])
            for (destination, query), replies in zip(at_once, executed, strict=True):
                try:
                    answers.found[destination] = _parse(query, replies)
                except ClusterUnsupportedError:
                    raise
                except ServerRefusedError as error:
                    answers.refused[destination] = error
        return answers

    async def ask_one(self, query: Query[_T]) -> _T:
        """Execute one query; raises as its parser does."""
        (replies,) = await self.execute([query])
        return _parse(query, replies)

    def report(
        self,
        refused: Mapping[Destination, ServerRefusedError],
        rows: Iterable[object],
    ) -> None:
        """Warn of destinations that were left out; raise if that leaves nothing."""
        if refused and not rows:
            raise next(iter(refused.values()))
        self.warn_of("a destination was", refused)

    def warn_of(self, what: str, refused: Mapping[Destination, ServerRefusedError]) -> None:
        """Warn that what was asked for is left out."""
        for destination, error in refused.items():
            self._warnings.warn(f"{what} {destination}", f"{what} left out: {error}")

    def warn(self, text: str) -> None:
        """Warn of something that concerns no destination, once a minute."""
        self._warnings.warn(text, text)


def _parse(query: Query[_T], replies: Sequence[Reply]) -> _T:
    """Return the parsed replies to a transaction; raise if Redis refused a command."""
    # EXEC is refused only if a command before it was, and that is the one to name.
    results: Sequence[Reply] = replies[-1] if isinstance(replies[-1], list) else replies[1:]
    for command, result in zip((*query.commands, EXEC), results, strict=False):
        if isinstance(result, ResponseError):
            raise translate(result, command)
    return query.parse(results)
