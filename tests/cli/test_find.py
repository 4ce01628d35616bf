"""What the commands that read ask of Redis."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import CommonLog, Destination
from logcommon.cli.failures import UnknownNameError
from logcommon.cli.find import choose, hours_held, most_common, most_recent, newest_hour
from support.clock import HandClock


@pytest.fixture
async def log(valkey: Redis, clock: HandClock) -> AsyncIterator[CommonLog]:
    """A client whose clock is turned by hand."""
    async with logcommon.connect(valkey, clock=clock) as log:
        yield log


def _hour(clock: HandClock) -> datetime:
    return datetime.fromtimestamp(clock.hour * 3600, UTC)


async def test_destinations_are_chosen_by_name_and_severity(log: CommonLog) -> None:
    """Each is a filter that may be left out; a severity may be in any case."""
    for name, severity in (("api", "info"), ("api", "error"), ("web", "error")):
        await log.log_common(name, "x", severity)
    assert await choose(log, None, None) == await log.destinations()
    assert await choose(log, "api", None) == [("api", "error"), ("api", "info")]
    assert await choose(log, None, "ERROR") == [("api", "error"), ("web", "error")]
    assert await choose(log, "web", "info") == []


async def test_an_unknown_name_is_told_from_one_without_messages(log: CommonLog) -> None:
    """The error says which names there are, a few of them."""
    with pytest.raises(UnknownNameError, match="nor as anything else"):
        await choose(log, "api", None)
    for number in range(7):
        log.log_common_nowait(f"service-{number}", "x")
    await log.flush()
    with pytest.raises(UnknownNameError, match=r"'api'; there is service-0, .* and 2 more"):
        await choose(log, "api", None)


async def test_what_the_book_has_written_is_found(log: CommonLog, valkey: Redis) -> None:
    """The book's functions register nothing, so the keys of a name are looked for."""
    await valkey.lpush("recent:old:error", f"{time.asctime(time.gmtime())} x")
    await valkey.zincrby("common:older:info", 1, "x")
    await valkey.set("common:older:info:start", "2026-05-27T12:00:00")
    await valkey.lpush("recent:odd:audit", "x")
    assert await choose(log, "old", None) == [Destination("old", "error")]
    assert await choose(log, "older", None) == [Destination("older", "info")]
    assert await choose(log, "odd", "audit") == [Destination("odd", "audit")]


async def test_the_newest_hour_is_that_of_any_destination(log: CommonLog, clock: HandClock) -> None:
    """A severity that was quiet does not hide what another one has logged since."""
    await log.log_common("api", "x", "error")
    clock.turn(2)
    await log.log_common("api", "x", "info")
    newest = _hour(clock)
    clock.turn(3)
    chosen = await choose(log, "api", None)
    assert await newest_hour(log, chosen) == newest
    assert await newest_hour(log, []) is None


async def test_counts_of_several_destinations_are_merged(log: CommonLog, clock: HandClock) -> None:
    """The most common of all come first, and each keeps its destination."""
    for name, severity, message, count in (
        ("api", "info", "often", 5),
        ("api", "error", "sometimes", 3),
        ("web", "info", "once", 1),
    ):
        for _ in range(count):
            log.log_common_nowait(name, message, severity)
    await log.flush()
    found = await most_common(log, await log.destinations(), 2, _hour(clock))
    assert [(each.destination.severity, each.row.count, each.row.message) for each in found] == [
        ("info", 5, "often"),
        ("error", 3, "sometimes"),
    ]


async def test_entries_of_several_destinations_are_merged_by_time(
    log: CommonLog, clock: HandClock
) -> None:
    """The newest first; within a second, destinations take turns."""
    for message in ("1", "2", "3"):
        clock.now += 1
        await log.log_common("api", f"info {message}", "info")
        await log.log_common("api", f"error {message}", "error")
        await log.log_common("api", f"error {message} again", "error")
    found = await most_recent(log, await log.destinations(), 5)
    assert [each.row.message for each in found] == [
        "error 3 again",
        "info 3",
        "error 3",
        "info 2",
        "error 2 again",
    ]


async def test_entries_without_a_time_come_last(log: CommonLog, valkey: Redis) -> None:
    """Another program may have written them in its own way."""
    await log.log_recent("api", "x")
    await valkey.lpush("recent:api:info", "no time")
    found = await most_recent(log, await log.destinations(), 5)
    assert [each.row.message for each in found] == ["x", "no time"]


async def test_more_destinations_than_are_read_at_once(log: CommonLog, clock: HandClock) -> None:
    """Each of them is read."""
    for number in range(50):
        log.log_common_nowait(f"service-{number:02}", "x")
    await log.flush()
    held = await hours_held(log)
    assert [each.destination.name for each in held] == [f"service-{n:02}" for n in range(50)]
    assert all(each.hours == [_hour(clock)] for each in held)
