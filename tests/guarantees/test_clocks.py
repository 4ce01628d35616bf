"""A clock ahead of the server's harms no other producer, and `stats` says what it logged."""

import math
import time
from collections import Counter

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

import logcommon
from logcommon.model import OTHER, Destination, hour_of, parse_hour
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import HourState, first_hour_ahead
from logcommon.write.batch import Batch
from logcommon.write.placement import move_to_server_hour, place
from logcommon.write.transaction import build_transaction
from logcommon.write.watch import Marker, Watched
from support.clock import NOON, HandClock
from support.layout import read_counts, total

API = Destination("api", "info")
DAY = 24 * 3600.0


def a_day_ahead() -> float:
    return time.time() + DAY


async def hour_in_redis(valkey: Redis) -> int | None:
    return parse_hour(await valkey.get("common:api:info:start"))


async def test_a_clock_a_day_ahead_turns_no_hour(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries of a clock that is ahead count in the server's hour, in `stats`, with one warning."""
    before = hour_of(time.time())
    async with (
        logcommon.connect(valkey_url, clock=a_day_ahead) as wrong,
        logcommon.connect(valkey_url) as right,
    ):
        for _ in range(3):
            await wrong.log_common("api", "m")
            await right.log_common("api", "m")
        assert (wrong.stats.counted, wrong.stats.ahead, wrong.stats.dropped) == (3, 3, 0)
        assert (right.stats.counted, right.stats.ahead, right.stats.dropped) == (3, 0, 0)
        assert await hour_in_redis(valkey) in (before, hour_of(time.time()))
        assert await total(valkey) == 6
        now = time.time()
        for row in await right.recent("api"):
            assert row.time is not None
            assert row.time.timestamp() <= now

    (text,) = caplog.messages
    assert "864" in text
    assert "max_clock_lead" in text


@pytest.mark.parametrize("lead", [2 * DAY, math.inf])
async def test_a_lead_that_is_allowed(valkey_url: str, valkey: Redis, lead: float) -> None:
    """With a longer `max_clock_lead` every entry counts in the hour that its clock says."""
    async with logcommon.connect(valkey_url, clock=a_day_ahead, max_clock_lead=lead) as log:
        before = hour_of(a_day_ahead())
        await log.log_common("api", "m")
        assert await hour_in_redis(valkey) in (before, hour_of(a_day_ahead()))
        assert log.stats.ahead == 0


async def test_a_refused_entry_of_a_clock_that_is_ahead(valkey_url: str, valkey: Redis) -> None:
    """A caller that waits learns that its entry was not counted, though its hour was changed."""
    await valkey.set("common:api:info", "of another type")
    async with logcommon.connect(valkey_url, clock=a_day_ahead) as log:
        with pytest.raises(logcommon.NotWrittenError, match="WRONGTYPE"):
            await log.log_common("api", "m")
        assert (log.stats.dropped_refused, log.stats.ahead) == (1, 0)


async def test_after_the_machine_was_suspended(
    fake: FakeAsyncRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's time is read again before a clock is called wrong: we may have slept."""
    clock = HandClock()
    monkeypatch.setattr(time, "time", clock)
    async with logcommon.connect(fake, clock=clock) as log:
        await log.log_common("api", "before")
        clock.turn(3)  # monotonic time does not go on meanwhile
        await log.log_common("api", "after")
        assert log.stats.ahead == 0
    assert await read_counts(fake) == {NOON: Counter(before=1), NOON + 3: Counter(after=1)}


async def test_what_is_too_late_is_warned_of(
    valkey_url: str, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Dropping an entry because its hour is too old logs a warning."""
    async with logcommon.connect(valkey_url, clock=clock, history_hours=1) as log:
        for turned in (0, 2):
            clock.turn(turned)
            await log.log_common("api", "m")
        clock.turn(-9)
        with pytest.raises(logcommon.NotWrittenError):
            await log.log_common("api", "m")
        assert log.stats.dropped_too_late == 1

    (text,) = caplog.messages
    assert "history_hours" in text


async def test_the_function_refuses_a_clock_that_is_ahead(valkey: Redis) -> None:
    """`log_common`, the function, says how far the clock is ahead, and changes nothing."""
    with pytest.raises(logcommon.NotWrittenError, match=r"864\d\d seconds ahead"):
        await logcommon.log_common(valkey, "api", "m", clock=a_day_ahead)
    assert await valkey.keys() == []


def test_the_first_hour_that_is_ahead() -> None:
    """The first hour that is ahead begins more than the lead after the server's time."""
    noon = NOON * 3600.0
    assert first_hour_ahead(noon + 1, 3600) == NOON + 2
    assert first_hour_ahead(noon, 3600) == NOON + 2
    assert first_hour_ahead(noon + 3599, 0) == NOON + 1
    assert first_hour_ahead(noon, math.inf) == math.inf


def test_hours_that_fall_together_are_counted_together() -> None:
    """Moved entries join those of the server's hour; the bound holds for both together."""
    batch = Batch(
        {
            (API, NOON): {"a": 1, "b": 2},
            (API, NOON + 30): {"a": 3, "c": 4},
            (API, NOON + 40): {"d": 5},
            (API, NOON - 1): {"a": 6},
        },
        {API: [("b", NOON * 3600.0), ("d", (NOON + 40) * 3600.0)]},
        number=7,
    )
    now = NOON * 3600.0 + 60
    pulled, ahead = move_to_server_hour(batch, now, 3600)
    assert pulled.counts == {
        (API, NOON): {"a": 4, "b": 2, "c": 4, "d": 5},
        (API, NOON - 1): {"a": 6},
    }
    assert pulled.recent == {API: [("b", NOON * 3600.0), ("d", now)]}
    assert (pulled.number, ahead.lead) == (7, 40 * 3600 - 60)
    assert batch.counts[API, NOON] == {"a": 1, "b": 2}

    admitted = {"a": 4, OTHER: 11}
    ground = Watched(Marker(), {API: HourState(NOON, None)}, {API: 0}, server_time=now)
    placements = [each for each in place(pulled, ground, 24, 9) if each.group[1] == NOON]
    mark = Marker(7, 1).command(b"marker")
    made = build_transaction(pulled, [(each, admitted) for each in placements], {}, mark, ahead)
    outcome = made.outcome()
    assert (outcome.counted, outcome.other, outcome.ahead) == (4, 11, 12)
    results = [ValueError() if destination_keys(API).current in c else 1 for c in made.commands]
    errors = made.outcome(results).errors
    assert {(API, NOON), (API, NOON + 30), (API, NOON + 40)} <= errors.keys()
