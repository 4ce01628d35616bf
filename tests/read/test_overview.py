"""Reading several destinations at once."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import MovedError

import logcommon
from logcommon import (
    ClusterUnsupportedError,
    CommonLog,
    Destination,
    ServerRefusedError,
)
from logcommon.read import executor
from logcommon.read.queries import Query
from logcommon.read.reader import Reader
from logcommon.schema.commands import Reply
from logcommon.server.connection import exchange
from logcommon.settings import Settings
from support.clock import HandClock

NOON = datetime(2026, 5, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def log(valkey: Redis, clock: HandClock) -> AsyncIterator[CommonLog]:
    """A client whose clock is turned by hand."""
    async with logcommon.connect(valkey, clock=clock) as log:
        yield log


class TurningReader(Reader):
    """Counts its round trips, and calls `before` in front of each."""

    def __init__(self, client: Redis) -> None:
        super().__init__(client, Settings(clock=HandClock()))
        self.round_trips = 0
        self._really_execute = self._executor.execute
        self._executor.execute = self.execute  # type: ignore[method-assign]

    async def execute(self, queries: Sequence[Query[Any]]) -> list[list[Reply]]:
        self.round_trips += 1
        await self.before(self.round_trips)
        return await self._really_execute(queries)

    async def before(self, round_trip: int) -> None:
        """Do nothing."""


async def _counted(valkey: Redis, name: str, start: datetime, previous: datetime | None) -> None:
    """Store a destination with counts of these hours."""
    await valkey.zadd(f"common:{name}:info", {f"at {start.hour}": 1})
    await valkey.set(f"common:{name}:info:start", f"{start:%Y-%m-%dT%H:%M:%S}")
    if previous:
        await valkey.zadd(f"common:{name}:info:last", {f"at {previous.hour}": 1})
        await valkey.set(f"common:{name}:info:pstart", f"{previous:%Y-%m-%dT%H:%M:%S}")
    await valkey.sadd("logcommon:destinations", f"{name}:info")


async def _turn(valkey: Redis, name: str, start: datetime, previous: datetime | None) -> None:
    """Turn to the next hour, as a producer does."""
    keys = f"common:{name}:info"
    if previous:
        await valkey.rename(f"{keys}:last", f"{keys}:{previous:%Y-%m-%dT%H:%M:%S}")
    await valkey.rename(keys, f"{keys}:last")
    await _counted(valkey, name, start + HOUR, None)
    await valkey.set(f"{keys}:pstart", f"{start:%Y-%m-%dT%H:%M:%S}")


async def test_destinations_are_chosen_by_name_and_severity(log: CommonLog) -> None:
    """Each is a filter; None matches all, and a severity may be in any case."""
    for name, severity in (("api", "info"), ("api", "error"), ("web", "error")):
        await log.log_common(name, "x", severity)

    async def chosen(name: str | None, severity: str | None) -> list[Destination]:
        rows = await log.top(name, severity)
        assert {row.destination for row in await log.recent(name, severity)} == {
            row.destination for row in rows
        }
        assert len(await log.hours(name, severity)) == bool(rows)
        return [row.destination for row in rows]

    assert await chosen(None, None) == await log.destinations()
    assert await chosen("api", None) == [("api", "error"), ("api", "info")]
    assert await chosen(None, "ERROR") == [("api", "error"), ("web", "error")]
    assert await chosen("web", "info") == []


async def test_without_a_severity_info_is_read(log: CommonLog) -> None:
    """A call without a severity reads what was logged without a severity."""
    await log.log_common("api", "of info")
    await log.log_common("api", "of error", "error")
    assert [row.message for row in await log.top("api")] == ["of info"]
    assert [row.message for row in await log.recent("api")] == ["of info"]


async def test_what_the_book_has_written_is_found(log: CommonLog, valkey: Redis) -> None:
    """The book's functions register nothing; a name alone finds the standard severities."""
    await valkey.lpush("recent:old:error", f"{time.asctime(time.gmtime())} x")
    await valkey.zincrby("common:older:info", 1, "x")
    await valkey.set("common:older:info:start", "2026-05-27T12:00:00")
    await valkey.lpush("recent:odd:audit", "x")

    (row,) = await log.recent("old", None)
    assert row.destination == Destination("old", "error")
    (common,) = await log.top("older", None)
    assert common.destination == Destination("older", "info")
    assert await log.hours("older", None) == [NOON]
    (row,) = await log.recent("odd", "audit")
    assert row.destination == Destination("odd", "audit")


async def test_the_newest_hour_is_that_of_any_destination(log: CommonLog, clock: HandClock) -> None:
    """A quiet severity does not hide what another one has logged since."""
    await log.log_common("api", "x", "error")
    clock.turn(2)
    await log.log_common("api", "x", "info")
    clock.turn(3)
    assert await log.hours("api", None) == [NOON + 2 * HOUR, NOON]
    assert await log.hours(None, None) == [NOON + 2 * HOUR, NOON]
    assert await log.hours("nobody", None) == []


async def test_counts_of_several_destinations_are_merged(log: CommonLog, clock: HandClock) -> None:
    """The most common messages of all come first, each with its destination."""
    for name, severity, message, count in (
        ("api", "info", "often", 5),
        ("api", "error", "sometimes", 3),
        ("web", "info", "once", 1),
    ):
        for _ in range(count):
            log.log_common_nowait(name, message, severity)
    await log.flush()

    found = await log.top(None, None, 2)
    assert [(row.destination.severity, row.count, row.message) for row in found] == [
        ("info", 5, "often"),
        ("error", 3, "sometimes"),
    ]

    clock.turn()
    assert await log.top(None, None) == []
    assert await log.top(None, None, 2, NOON) == found


async def test_equal_counts_have_an_order(log: CommonLog) -> None:
    """Equal counts come in the order of destinations, so a page that reads again doesn't jump."""
    for name in ("web", "api", "jobs"):
        await log.log_common(name, "x")
        await log.log_common(name, "y")
    found = await log.top(None, None, 5)

    assert [(row.destination.name, row.message) for row in found] == [
        ("api", "y"),
        ("api", "x"),
        ("jobs", "y"),
        ("jobs", "x"),
        ("web", "y"),
    ]
    assert await log.top(None, None, 5) == found


async def test_entries_of_several_destinations_are_merged_by_time(
    log: CommonLog, clock: HandClock
) -> None:
    """The newest come first; within a second, destinations take turns."""
    for message in ("1", "2", "3"):
        clock.now += 1
        await log.log_common("api", f"info {message}", "info")
        await log.log_common("api", f"error {message}", "error")
        await log.log_common("api", f"error {message} again", "error")

    found = await log.recent(None, None, 5)
    assert [row.message for row in found] == [
        "error 3 again",
        "info 3",
        "error 3",
        "info 2",
        "error 2 again",
    ]
    severities = [row.destination.severity for row in found]
    assert severities == ["error", "info", "error", "info", "error"]


async def test_entries_without_a_time_come_last(log: CommonLog, valkey: Redis) -> None:
    """Entries of another program, in a format of its own, come last."""
    await log.log_recent("api", "x")
    await valkey.lpush("recent:api:info", "no time")
    assert [row.message for row in await log.recent(None, None, 5)] == ["x", "no time"]


async def test_more_destinations_than_are_read_in_one_write(log: CommonLog) -> None:
    """All of 150 destinations are read."""
    names = [f"service-{number:03}" for number in range(150)]
    for name in names:
        log.log_common_nowait(name, "x")
    await log.flush()
    held = await log.hours_by_destination()
    assert [destination.name for destination in held] == names
    assert all(hours == [NOON] for hours in held.values())
    assert [row.destination.name for row in await log.top(None, None, 200)] == names
    assert len(await log.recent(None, None, 200)) == 150


async def test_several_destinations_take_no_more_round_trips_than_one(valkey: Redis) -> None:
    """Many destinations take one round trip, besides those for their names and for mutes."""
    for number in range(16):
        await _counted(valkey, f"service-{number}", NOON, NOON - HOUR)
    reader = TurningReader(valkey)
    assert len(await reader.top(None, None, 100, None)) == 16
    assert reader.round_trips == 3


async def test_an_hour_that_turns_during_a_read_is_counted_once(valkey: Redis) -> None:
    """Each destination is seen before the turn or after it, never halfway."""

    class Reading(TurningReader):
        async def before(self, round_trip: int) -> None:
            if round_trip == 2:
                await _turn(valkey, "api", NOON, NOON - HOUR)

    for name in ("api", "web"):
        await _counted(valkey, name, NOON, NOON - HOUR)
    reader = Reading(valkey)
    noon = await reader.top(None, None, 9, NOON)
    assert [(row.count, row.message) for row in noon] == [(1, "at 12"), (1, "at 12")]
    eleven = await reader.top(None, None, 9, NOON - HOUR)
    assert [(row.count, row.message) for row in eleven] == [(1, "at 11"), (1, "at 11")]


async def test_an_hour_that_turns_while_hours_are_looked_for(valkey: Redis) -> None:
    """The hour that was just moved from `:last` is found under its own key."""

    class Reading(TurningReader):
        async def before(self, round_trip: int) -> None:
            if round_trip == 3:  # destinations, then a look that tells where the hours are
                await _turn(valkey, "api", NOON, NOON - HOUR)

    for name in ("api", "web"):
        await _counted(valkey, name, NOON, NOON - HOUR)
    reader = Reading(valkey)
    assert await reader.hours_by_destination() == {
        Destination("api", "info"): [NOON + HOUR, NOON, NOON - HOUR],
        Destination("web", "info"): [NOON, NOON - HOUR],
    }
    assert reader.round_trips == 4


async def test_hours_that_keep_turning_do_not_keep_a_reader(valkey: Redis) -> None:
    """If the hour turns at every look, the last look is returned."""

    class Reading(TurningReader):
        async def before(self, round_trip: int) -> None:
            assert round_trip < 10
            start = NOON + round_trip * HOUR
            await _turn(valkey, "api", start - HOUR, start - 2 * HOUR)

    await _counted(valkey, "api", NOON, NOON - HOUR)
    reader = Reading(valkey)
    newest = (await reader.hours("api", "info"))[:2]
    assert newest == [NOON + reader.round_trips * HOUR, NOON + (reader.round_trips - 1) * HOUR]


@pytest.mark.parametrize("key", ["common:bad:info", "common:bad:info:start", "recent:bad:info"])
async def test_a_key_of_the_wrong_type_hides_no_other_destination(
    log: CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    """The rows of the others are returned, and a warning names the key, once a minute."""
    for name in ("api", "bad"):
        await log.log_common(name, "x")
    await valkey.delete(key)
    await valkey.hset(key, "foreign", "1")

    for _ in range(2):
        rows = await (log.recent if key.startswith("recent") else log.top)(None, None)
        assert [row.destination.name for row in rows] == ["api"]

    (text,) = caplog.messages
    assert text.startswith("a destination was left out: ")
    assert key in text


async def test_destinations_whose_hours_cannot_be_read_are_left_out(
    log: CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The hours of the others are returned, even if they have none."""
    await log.log_recent("api", "x")
    await log.log_common("bad", "x")
    await valkey.delete("common:bad:info:pstart")
    await valkey.hset("common:bad:info:pstart", "foreign", "1")
    assert await log.hours_by_destination() == {Destination("api", "info"): []}
    (text,) = caplog.messages
    assert "common:bad:info:pstart" in text


@pytest.mark.parametrize("name", ["bad", None])
async def test_what_cannot_be_read_at_all_is_an_error(
    log: CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture, name: str | None
) -> None:
    """If nothing but unreadable keys was found, an empty answer would be wrong."""
    await log.log_recent("quiet", "x")
    await valkey.sadd("logcommon:destinations", "bad:info")
    for key in ("common:bad:info", "common:bad:info:start", "recent:bad:info"):
        await valkey.hset(key, "foreign", "1")
    for read in (log.top(name, None), log.hours(name, None), log.recent("bad", None)):
        with pytest.raises(ServerRefusedError, match=":bad:info"):
            await read
    assert caplog.messages == []


@pytest.mark.parametrize("round_trip", [2, 3])
async def test_a_cluster_is_an_error_even_if_some_destinations_are_read(
    valkey: Redis, round_trip: int
) -> None:
    """A node that has the keys of some destinations does not make the others left out, or mutes."""

    class Reading(TurningReader):
        async def execute(self, queries: Sequence[Query[Any]]) -> list[list[Reply]]:
            replies = await super().execute(queries)
            if self.round_trips == round_trip:
                replies[0][-1] = MovedError("1 127.0.0.1:6379")
            return replies

    for name in ("api", "web"):
        await _counted(valkey, name, NOON, None)
    with pytest.raises(ClusterUnsupportedError):
        await Reading(valkey).top(None, None, 9, NOON)


async def test_a_cancellation_that_redis_py_swallows(
    log: CommonLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised all the same, so that a task that reads in a loop can be cancelled.

    A scope of anyio takes it for its own.
    """
    task = asyncio.current_task()
    assert task is not None

    async def swallowing(*arguments: Any) -> Any:
        cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        with anyio.CancelScope(shield=True):
            return await exchange(*arguments)

    monkeypatch.setattr(executor, "exchange", swallowing)
    with anyio.CancelScope() as scope:
        cancel: Callable[[], object] = scope.cancel
        await log.top("api")
    assert scope.cancelled_caught
    assert task.cancelling() == 0

    cancel = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await log.top("api")
    task.uncancel()


def test_a_client_in_the_background_reads_several_as_well(valkey_url: str) -> None:
    """The methods of a client in the background take the same arguments."""
    with logcommon.background(valkey_url) as log:
        log.log_common_nowait("api", "x", "error")
        log.log_common_nowait("web", "y")
        assert log.flush()

        (newest,) = log.hours(None, None)
        assert [row.message for row in log.top(None, None, hour=newest)] == ["x", "y"]
        assert [row.destination.name for row in log.recent(None, None)] == ["api", "web"]
        assert log.hours_by_destination() == {
            logcommon.Destination("api", "error"): [newest],
            logcommon.Destination("web", "info"): [newest],
        }
        minutes = log.minutes("web", hours=48)
        assert [sum(calls.values()) for calls in minutes.values()] == [1]
