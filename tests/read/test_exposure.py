"""A service that ran for part of an hour has its rates by that part."""

import pytest

import logcommon
from logcommon import CommonLog
from logcommon.model import minute_start
from logcommon.read.exposure import Lately, lately
from support.clock import NOON, HandClock

MINUTE = 60


@pytest.fixture
def log(anywhere: CommonLog) -> CommonLog:
    """A client whose clock is turned by hand, on a server or captured."""
    return anywhere


async def run(log: CommonLog, clock: HandClock, minutes: int, per_minute: int = 10) -> None:
    """Log evenly for some minutes, with two severities."""
    for minute in range(minutes):
        severity = "info" if minute % 2 else "error"
        for _ in range(per_minute):
            log.log_common_nowait("api", "m", severity)
            log.log_common_nowait("api", "m", "debug")
        clock.now += MINUTE
    await log.flush()


async def test_the_first_hour_of_a_service(log: CommonLog, clock: HandClock) -> None:
    """It began at twenty minutes to, so the next hour is not three times as busy."""
    clock.now = (NOON + 1) * 3_600 - 20 * MINUTE
    await run(log, clock, 80)
    clock.now -= 1
    found = await log.compare("api", "debug")
    (change,) = found.changes
    assert (change.kind, change.before, change.after) == ("steady", 200, 600)
    assert change.rate_before == 600.0
    assert change.rate_after == pytest.approx(600, rel=0.01)
    summary = await log.summary("api", "debug")
    assert summary is not None
    assert (summary.calls, summary.messages) == (600, 1)
    (row,) = summary.rows
    assert (row.share, row.history[-2:]) == (1.0, (200, 600))
    assert row.per_minute == pytest.approx(10, rel=0.01)
    assert row.change is not None
    assert row.change.kind == "steady"


async def test_the_current_hour_of_a_service_that_was_restarted(
    log: CommonLog, clock: HandClock
) -> None:
    """What it logs at the same rate as before it was away has not changed."""
    await run(log, clock, 60)
    clock.now = (NOON + 5) * 3_600 + 30 * MINUTE
    await run(log, clock, 10)
    (change,) = (await log.compare("api", "debug")).changes
    assert (change.kind, change.rate_after) == ("steady", 600.0)
    summary = await log.summary("api", "debug")
    assert summary is not None
    assert summary.rows[0].per_minute == 10.0


@pytest.mark.parametrize("step", [1, 15])
async def test_a_burst_is_no_beginning(log: CommonLog, clock: HandClock, step: int) -> None:
    """A service that logs in few minutes only had the whole hour for it."""
    clock.now = NOON * 3_600 + 10 * MINUTE
    for _ in range(3):
        await run(log, clock, 1)
        clock.now += (step - 1) * MINUTE
    clock.now = NOON * 3_600 + 59 * MINUTE
    summary = await log.summary("api", "debug")
    assert summary is not None
    assert summary.rows[0].per_minute == pytest.approx(30 / 59)


async def test_a_service_that_went_on_has_whole_hours(log: CommonLog, clock: HandClock) -> None:
    """One of its severities may begin in the middle of an hour: that is a change."""
    await run(log, clock, 60)
    for _ in range(20):
        clock.now += MINUTE
        log.log_common_nowait("api", "late", "debug")
    clock.now = (NOON + 2) * 3_600 - 1
    await log.flush()
    (row,) = [each for each in (await log.compare("api")).changes if each.message == "late"]
    assert row.kind == "new"
    assert row.rate_after == pytest.approx(20, rel=0.01)


async def test_an_order_that_is_unknown(log: CommonLog) -> None:
    """It is refused; without any hour there is no summary."""
    assert await log.summary("api") is None
    with pytest.raises(logcommon.InvalidArgumentError, match="by must be count or bytes"):
        await log.summary("api", by="name")  # type: ignore[arg-type]


def test_calls_of_late() -> None:
    """The minute that is not over belongs to the hour and the day."""
    calls = {10_000: 1, 9_999: 2, 9_998: 4, 9_941: 8, 9_940: 16, 8_561: 32, 8_560: 64}
    by_moment = {minute_start(minute): count for minute, count in calls.items()}
    assert lately(by_moment, 10_000 * MINUTE + 30) == Lately(2, 15, 63)


def test_a_client_in_the_background(valkey_url: str) -> None:
    """It sums up as well."""
    with logcommon.background(valkey_url) as log:
        log.log_common_nowait("api", "m")
        log.flush()
        summary = log.summary("api")
        assert summary is not None
        assert [each.row.message for each in summary.rows] == ["m"]
