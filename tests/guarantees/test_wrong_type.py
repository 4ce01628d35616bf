"""Keys of another type, put there by another program, are left alone; the rest is counted."""

from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from support.clock import NOON, HandClock
from support.layout import Counts, read_counts, total


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("suffix", ["", ":start", ":pstart"])
async def test_a_key_of_the_wrong_type(
    valkey_url: str,
    valkey: Redis,
    caplog: pytest.LogCaptureFixture,
    clock: HandClock,
    suffix: str,
    turned: int,
) -> None:
    """The destination of a wrong key is refused and the key left as it is; all else stays exact."""
    key = f"common:bad:info{suffix}"
    async with logcommon.connect(valkey_url, clock=clock) as log:
        good, bad = await _two_hours(log, clock)
        kept = await valkey.dump(key)
        assert kept is not None
        await _put_a_hash(valkey, key)
        clock.turn(turned)
        for _ in range(3):
            await log.log_common("api", "during")
            good.setdefault(clock.hour, Counter())["during"] += 1
            with pytest.raises(logcommon.NotWrittenError, match="WRONGTYPE"):
                await log.log_common("bad", "during")
        assert await valkey.hgetall(key) == {b"foreign": b"1"}
        assert (log.stats.dropped_refused, log.stats.counted) == (3, 7)
        assert key in str(log.stats.last_error)
        _assert_one_warning(caplog, key)
        await valkey.restore(key, 0, kept, replace=True)
        await log.log_common("bad", "after")
        bad.setdefault(clock.hour, Counter())["after"] += 1

    assert await read_counts(valkey) == good
    assert await read_counts(valkey, "bad") == bad


async def _two_hours(log: logcommon.CommonLog, clock: HandClock) -> tuple[Counts, Counts]:
    for message in ("one", "two"):
        await log.log_common("api", message)
        await log.log_common("bad", message)
        clock.turn()
    clock.turn(-1)
    first, second = ({NOON: Counter(one=1), NOON + 1: Counter(two=1)} for _ in range(2))
    return first, second


async def _put_a_hash(valkey: Redis, key: str) -> None:
    await valkey.delete(key)
    await valkey.hset(key, "foreign", "1")


def _assert_one_warning(caplog: pytest.LogCaptureFixture, key: str) -> None:
    (record,) = [record for record in caplog.records if record.name == "logcommon"]
    assert key in record.message
    assert "WRONGTYPE" in record.message
    assert "during" not in record.message


async def test_a_last_set_of_the_wrong_type(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture, clock: HandClock
) -> None:
    """A `:last` of another type refuses only late entries, which would be counted there."""
    async with logcommon.connect(valkey_url, clock=clock) as log:
        good, bad = await _two_hours(log, clock)
        await _put_a_hash(valkey, "common:bad:info:last")
        await log.log_common("bad", "during")
        clock.turn(-1)
        await log.log_common("api", "during")
        with pytest.raises(logcommon.NotWrittenError, match="WRONGTYPE"):
            await log.log_common("bad", "during")
        _assert_one_warning(caplog, "common:bad:info:last")
        await valkey.delete("common:bad:info:last")
        await log.log_common("bad", "after")
        assert (log.stats.counted, log.stats.dropped_refused) == (7, 1)

    good[NOON]["during"] += 1
    assert await read_counts(valkey) == good
    bad = {NOON: Counter(after=1), NOON + 1: Counter(two=1, during=1)}
    assert await read_counts(valkey, "bad") == bad


async def test_a_recent_log_of_the_wrong_type(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A recent log of another type refuses entries and says so; they are counted all the same."""
    async with logcommon.connect(valkey_url) as log:
        await _put_a_hash(valkey, "recent:bad:info")
        await log.log_common("bad", "during")
        with pytest.raises(logcommon.NotWrittenError, match="WRONGTYPE"):
            await log.log_recent("bad", "during")
        await log.log_recent("api", "during")
        _assert_one_warning(caplog, "recent:bad:info")
        await valkey.delete("recent:bad:info")
        await log.log_recent("bad", "after")

        assert [row.message for row in await log.recent("bad")] == ["after"]
        assert log.stats.counted == await total(valkey, "bad") == 1


async def test_a_registry_of_the_wrong_type(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A registry of another type is reported, and everything is counted."""
    async with logcommon.connect(valkey_url) as log:
        await _put_a_hash(valkey, "logcommon:destinations")
        await log.log_common("api", "during")
        _assert_one_warning(caplog, "logcommon:destinations")
        await valkey.delete("logcommon:destinations")
        await log.log_common("api", "after")
        assert await log.destinations() == [logcommon.Destination("api", "info")]
        assert log.stats.counted == await total(valkey) == 2


async def test_a_marker_of_the_wrong_type(valkey_url: str, valkey: Redis, clock: HandClock) -> None:
    """If another program writes to the marker, nothing is counted twice."""
    async with logcommon.connect(valkey_url, clock=clock) as log:
        await log.log_common("api", "before")
        marker: Any
        (marker,) = await valkey.keys("logcommon:producer:*")
        await _put_a_hash(valkey, marker.decode())
        await log.log_common("api", "after")
        assert (log.stats.counted, log.stats.replayed_commits) == (2, 0)
    assert await read_counts(valkey) == {NOON: Counter(before=1, after=1)}
