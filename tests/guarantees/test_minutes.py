"""The calls of each minute: exact, rotating with their sets, and bounded in memory."""

from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import Destination
from logcommon.model import HOUR_SECONDS, hour_start
from logcommon.settings import Settings
from logcommon.write.batch import Batch, merge, separate_failing, split
from logcommon.write.buffer import Buffer
from logcommon.write.placement import move_to_server_hour
from support.clock import NOON, HandClock
from support.layout import read_minutes, total

API = Destination("api", "info")
FIRST = NOON * 60
"""The first minute of NOON."""


async def test_calls_are_counted_in_the_minute_in_which_they_were_logged(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """One commit carries calls of several minutes and hours, those of other hours as well."""
    async with logcommon.connect(valkey_url, clock=clock, max_clock_lead=float("inf")) as log:
        for minute, calls in ((0, 2), (1, 3), (59, 1), (60, 4)):
            clock.now = NOON * HOUR_SECONDS + minute * 60
            for number in range(calls):
                log.log_common_nowait("api", f"message {number}")
        await log.flush()

        assert await read_minutes(valkey) == {
            ":last": {FIRST: 2, FIRST + 1: 3, FIRST + 59: 1},
            "": {FIRST + 60: 4},
        }
        noon = hour_start(NOON)
        after = {noon + timedelta(hours=1): 4}
        both = {noon: 2, noon + timedelta(minutes=1): 3, noon + timedelta(minutes=59): 1} | after
        assert await log.minutes("api") == {API: both}
        assert await log.minutes(hours=1) == {API: after}
        assert await log.minutes("web") == {}


async def test_minutes_rotate_and_expire_with_their_set(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """An older hour keeps its minutes for as long as it is kept."""
    async with logcommon.connect(
        valkey_url, clock=clock, max_clock_lead=float("inf"), history_hours=2
    ) as log:
        for _ in range(3):
            await log.log_common("api", "m")
            clock.turn()
    archive = f":{hour_start(NOON):%Y-%m-%dT%H:%M:%S}"
    assert await read_minutes(valkey) == {
        "": {FIRST + 120: 1},
        ":last": {FIRST + 60: 1},
        archive: {FIRST: 1},
    }
    assert 0 < await valkey.ttl(f"common:api:info{archive}:minutes") <= 3 * HOUR_SECONDS


async def test_another_program_may_turn_the_hour(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """Minutes that the book's program has left behind are not taken for those of the new hour."""
    async with logcommon.connect(valkey_url, clock=clock, max_clock_lead=float("inf")) as log:
        await log.log_common("api", "m")
        await valkey.rename("common:api:info", "common:api:info:last")
        clock.turn()
        await valkey.set("common:api:info:pstart", f"{hour_start(NOON):%Y-%m-%dT%H:%M:%S}")
        await valkey.set("common:api:info:start", f"{hour_start(NOON + 1):%Y-%m-%dT%H:%M:%S}")
        await log.log_common("api", "m")
        noon = hour_start(NOON)
        assert await log.minutes() == {API: {noon: 1, noon + timedelta(hours=1): 1}}


async def test_what_is_no_minute_is_left_out(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """Other programs may have written anything to the hash."""
    await valkey.hset("common:api:info:minutes", mapping={"x": 1, str(FIRST): "y", "1": 1})
    async with logcommon.connect(f"{valkey_url}?protocol=3", clock=clock) as log:
        await log.log_common("api", "m")
        clock.now += 60
        await log.log_common("api", "m")
        (found,) = (await log.minutes()).values()
        assert found == {hour_start(NOON) + timedelta(minutes=1): 1}
        with pytest.raises(logcommon.InvalidArgumentError, match="hours must be"):
            await log.minutes(hours=0)


@pytest.mark.parametrize("beside", ["minutes", "examples"])
async def test_a_hash_of_the_wrong_type_keeps_nothing_from_being_counted(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture, beside: str
) -> None:
    """A call that waits returns, as it is counted; a warning names the key."""
    await valkey.set(f"common:api:info:{beside}", "text")
    async with logcommon.connect(valkey_url, template=logcommon.template) as log:
        await log.log_common("api", "a 1")
        assert (log.stats.counted, log.stats.dropped) == (1, 0)
    assert await total(valkey) == 1
    assert f"common:api:info:{beside}" in caplog.text


def test_minutes_are_bounded_in_memory(clock: HandClock) -> None:
    """Past the bound, calls are added to a minute that there is already; none is lost."""
    settings = Settings(clock=clock, max_pending_bytes=2_000, max_message_bytes=100)
    buffer = Buffer(settings)
    buffer.open(lambda: None)
    for minute in range(60):
        clock.now = NOON * HOUR_SECONDS + minute * 60
        buffer.put("api", "m")
        buffer.put("web", "m")
        buffer.copy(1_000)
    (batch,) = buffer.copy(1_000)
    minutes = batch.minutes
    assert sum(map(len, minutes.values())) <= 2_000 // 100 + 2
    assert [sum(calls.values()) for calls in minutes.values()] == [60, 60]


def test_minutes_go_with_their_batches() -> None:
    """They survive splitting, merging, separating what fails, and a move to the server's hour."""
    api, web = (API, NOON), (Destination("web", "info"), NOON)
    whole = Batch(
        {api: {"a": 1, "b": 2}, web: {"c": 1}}, minutes={api: {FIRST: 3}, web: {FIRST: 1}}
    )
    parts = list(split(whole, 1))
    assert [each.minutes for each in parts] == [{api: {FIRST: 3}}, {}, {web: {FIRST: 1}}]
    assert merge(parts).minutes == whole.minutes
    assert merge([whole, whole]).minutes == {api: {FIRST: 6}, web: {FIRST: 2}}
    assert whole.size > Batch(whole.counts).size

    def check(batch: Batch) -> None:
        if web in batch.counts:
            raise ValueError

    good, bad = separate_failing(whole, check)
    assert (good.minutes, bad.minutes) == ({api: {FIRST: 3}}, {web: {FIRST: 1}})

    now = (NOON - 5) * HOUR_SECONDS + 120.0
    moved, _ = move_to_server_hour(whole, now, 0)
    assert moved.minutes[API, NOON - 5] == {FIRST - 300 + 2: 3}


async def test_minutes_survive_in_the_spool(
    valkey_url: str, valkey: Redis, clock: HandClock, tmp_path: Path
) -> None:
    """What is written after a restart counts in the minute in which it was logged."""
    spool = tmp_path / "spool"
    nowhere = f"unix://{tmp_path / 'nothing.sock'}"
    async with logcommon.connect(nowhere, clock=clock, spool=spool, drain_timeout=0) as log:
        log.log_common_nowait("api", "m")
    clock.now += 300
    async with logcommon.connect(valkey_url, clock=clock, spool=spool) as log:
        await log.log_common("api", "m")
    assert await read_minutes(valkey) == {"": {FIRST: 1, FIRST + 5: 1}}
