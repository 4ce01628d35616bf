"""Copies counts from one server to another, each hour of a destination exactly once.

An hour is a batch of a producer of its own, whose marker in the target shows whether it is there:
so a copy that was interrupted goes on where it stopped.
"""

import hashlib
from collections.abc import AsyncGenerator, Collection
from datetime import datetime
from typing import NamedTuple

from redis.asyncio import Redis

from logcommon.model import RECENT_LENGTH, Destination, Hour, Mark, hour_of, hour_start
from logcommon.read.executor import QueryExecutor
from logcommon.read.queries import (
    HourContent,
    Query,
    content_query,
    exists_query,
    marks_query,
    mutes_query,
    recent_query,
)
from logcommon.read.reader import Reader
from logcommon.schema.commands import push_mark, put_mute
from logcommon.schema.keys import marker_key
from logcommon.settings import Settings
from logcommon.stats import Ledger
from logcommon.write.batch import Batch
from logcommon.write.committer import Committer
from logcommon.write.reporter import Reporter

_HISTORY_HOURS = 31 * 24
"""How far back hours are looked for."""

_KEPT_HOURS = 24
"""How many hours the target keeps at least, as a client does by default."""

_NO_LIMIT = 10**9
_SESSION = "00000000"
"""The session of all copies: what an earlier one has committed is ours as well."""


class Unit(NamedTuple):
    """An hour of a destination."""

    destination: Destination
    hour: Hour

    @property
    def start(self) -> datetime:
        """Its first moment, in UTC."""
        return hour_start(self.hour)


class Step(NamedTuple):
    """What became of a unit."""

    unit: Unit
    calls: int
    """Calls that were copied now."""
    outcome: str
    """`copied`, `copied before`, `in the target already`, `changed meanwhile`, or why not."""


class Copy:
    """A copy of the kept hours of some destinations.

    Args:
        source: Where to read; it is not changed.
        target: Where to write.
        address: The address of the source, without credentials: the same again after a restart.
        names: The services; all that were logged to through this package, if there are none.
        is_adding: Whether hours that the target has already are added to what it has.

    """

    def __init__(
        self,
        source: Redis,
        target: Redis,
        address: str,
        names: Collection[str] = (),
        *,
        is_adding: bool = False,
    ) -> None:
        settings = Settings(history_hours=_HISTORY_HOURS)
        self._from, self._to = QueryExecutor(source), QueryExecutor(target)
        self._source, self._target = Reader(source, settings), Reader(target, settings)
        self._client = target
        self._address = address
        self._names = set(names)
        self._is_adding = is_adding
        self.units: list[Unit] = []
        """What there is to copy, the oldest hours first; known after `plan`."""

    async def plan(self) -> None:
        """Find what there is to copy."""
        held = await self._source.hours_by_destination()
        self.units = sorted(
            (
                Unit(each, hour_of(hour.timestamp()))
                for each, hours in held.items()
                for hour in hours
                if not self._names or each.name in self._names
            ),
            key=lambda unit: (unit.hour, unit.destination),
        )

    async def run(self) -> AsyncGenerator[Step, None]:
        """Copy each unit, then the recent logs, marks and mutes; raises as reading does."""
        there = await self._target.hours_by_destination()
        committer = self._committer()
        try:
            for unit in self.units:
                yield await self._copy(unit, committer, unit.start in there.get(unit[0], ()))
            await self._copy_recent(committer)
        finally:
            await committer.close(delete_marker=False)
        await self._copy_notes()

    def _committer(self) -> Committer:
        hours = [unit.hour for unit in self.units]
        settings = Settings(
            history_hours=max(_KEPT_HOURS, max(hours, default=0) - min(hours, default=0)),
            max_members=_NO_LIMIT,
            max_clock_lead=float("inf"),
            commit_timeout=60,
            hold_bytes=0,
        )
        return Committer(self._client, settings, Reporter(Ledger(), settings), _SESSION, {_SESSION})

    async def _copy(self, unit: Unit, committer: Committer, is_there: bool) -> Step:  # noqa: FBT001
        producer = self._producer(*unit.destination, str(unit.hour))
        if await self._to.ask_one(exists_query(marker_key(producer))):
            return Step(unit, 0, "copied before")
        if is_there and not self._is_adding:
            return Step(unit, 0, "in the target already")

        content = await self._content(unit)
        batch = _batch_of(unit, content)
        batch.producer, batch.number = producer, 1
        outcome = await committer.commit(batch)
        if outcome.errors:
            return Step(unit, 0, next(iter(outcome.errors.values())))
        if await self._content(unit) != content:
            return Step(unit, batch.calls, "changed meanwhile")
        return Step(unit, batch.calls, "copied")

    async def _content(self, unit: Unit) -> HourContent:
        return await self._from.ask_one(content_query(*unit))

    async def _copy_recent(self, committer: Committer) -> None:
        """Copy the recent logs of destinations of which the target has none."""
        for destination in sorted({unit.destination for unit in self.units}):
            if await self._to.ask_one(recent_query(destination, 1)):
                continue
            rows = await self._from.ask_one(recent_query(destination, RECENT_LENGTH))
            entries = [(row.message, row.time.timestamp()) for row in rows[::-1] if row.time]
            if entries:
                batch = Batch(recent={destination: entries}, number=1)
                batch.producer = self._producer(*destination, "recent")
                await committer.commit(batch)

    async def _copy_notes(self) -> None:
        """Copy the marks, if the target has none, and the mutes that it does not have."""
        marks: list[Mark] = await self._from.ask_one(marks_query())
        if not await self._to.ask_one(marks_query()):
            for mark in reversed(marks):
                await self._to.ask_one(Query(push_mark(mark), lambda _: None))
        there = {mute.message for mute in await self._to.ask_one(mutes_query())}
        for mute in await self._from.ask_one(mutes_query()):
            if mute.message not in there:
                await self._to.ask_one(Query(put_mute(mute, ()), lambda _: None))

    def _producer(self, *parts: str) -> str:
        text = "\0".join((self._address, *parts)).encode("utf-8", "backslashreplace")
        return f"copy.{hashlib.sha256(text).hexdigest()}"


def _batch_of(unit: Unit, content: HourContent) -> Batch:
    # Another program may have stored a score of 0 or below.
    counts = {message: count for message, count in content.counts.items() if count > 0}
    return Batch(
        counts={unit: counts}, examples={unit: content.examples}, minutes={unit: content.minutes}
    )
