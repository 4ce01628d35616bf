"""Memory and Redis stay within bounds, whatever is logged and for how long; counts are exact."""

import asyncio
import contextlib
import itertools
import sys
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from redis.asyncio import Redis

import logcommon
from logcommon.model import OTHER
from logcommon.write import buffer as buffer_module
from support.clock import NOON, HandClock
from support.inside import writer_of
from support.layout import read_counts
from support.servers import valkey_server
from support.until import until

CALLS, DISTINCT, CHUNKS = 1_000_000, 100, 100
ROUNDS = CALLS // CHUNKS // DISTINCT


def call(log: logcommon.CommonLog, messages: Iterator[str]) -> None:
    """Log all of `messages`, as fast as calls can be made."""
    deque(map(log.log_common_nowait, repeat("api"), messages), maxlen=0)


def entries_held(log: logcommon.CommonLog) -> int:
    """Return how many entries and counts a client holds that it has not written yet."""
    buffer, backlog = log._buffer, writer_of(log)._backlog
    waiting = sum(map(len, [*buffer._unfolded, *buffer._pending._recent.values()]))
    batches = [batch.counts for batch in backlog._batches]
    counts = itertools.chain(buffer._pending._counts.values(), *(each.values() for each in batches))
    return waiting + sum(map(len, counts))


async def test_a_million_calls_while_the_server_is_down(tmp_path: Path, clock: HandClock) -> None:
    """Ten minutes of a hundred messages, across the turn of the hour, take no more memory than one.

    Every object that Python allocated counts. Afterwards Redis has every call.
    """
    messages = [f"message {number}" for number in range(DISTINCT)]
    clock.now = (NOON + 1) * 3600 - 299.5
    with valkey_server(tmp_path, appendonly="yes", appendfsync="always") as server:
        async with logcommon.connect(server.connection_url, clock=clock) as log:
            await log.log_common("api", "before")
            server.terminate()
            call(log, iter(messages))
            await until(lambda: log.stats.failures > 0)
            before = sys.getallocatedblocks()
            for _ in range(CHUNKS):
                call(
                    log,
                    itertools.chain.from_iterable(repeat(messages, ROUNDS)),
                )
                clock.now += 6
                await asyncio.sleep(0)
                assert sys.getallocatedblocks() - before < 20_000
                assert entries_held(log) < 3 * DISTINCT + buffer_module._FOLD_AT + 100
            assert clock.now - (NOON + 1) * 3600 == 300.5
            server.start()
            await log.flush()
            assert log.stats.counted == log.stats.calls == CALLS + DISTINCT + 1

        async with Redis(port=server.port) as valkey:
            half = Counter(dict.fromkeys(messages, CALLS // DISTINCT // 2))
            first = half + Counter(messages) + Counter(before=1)
            assert await read_counts(valkey) == {NOON: first, NOON + 1: half}


async def test_messages_that_are_all_distinct_forever(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """300,000 distinct messages in five hours stay within all bounds, and none is lost."""
    pending, members, hours, chunk = 1000, 200, 5, 3000
    names, number = (str(n) for n in itertools.count()), 0
    async with logcommon.connect(
        valkey_url, clock=clock, max_pending=pending, max_members=members, linger=0
    ) as log:
        for number in range(hours * 20):
            call(log, itertools.islice(names, chunk))
            # Besides what is folded: what is not, the recent log, and a commit under way.
            assert log._buffer._pending._totals.usage.distinct <= pending
            assert entries_held(log) <= 2 * (pending + hours) + buffer_module._FOLD_AT + 100
            if number % 3 == 0:
                await asyncio.sleep(0)
            if number % 7 == 0:
                await log.log_common("api", "waited for")
            if number % 20 == 19:
                clock.turn()
        await log.flush()
        stats = log.stats

    assert stats.counted + stats.other == stats.calls == hours * 20 * chunk + 15
    counts = await read_counts(valkey)
    # `<other>` may have come while there was room, and then takes one of the places.
    assert all(members <= len(counter) <= members + 1 for counter in counts.values())
    assert sum(counter[OTHER] for counter in counts.values()) == stats.other
    waited = [len(range(-20 * hour % 7, 20, 7)) for hour in range(hours)]

    assert {hour: counter.total() for hour, counter in counts.items()} == {
        NOON + hour: 20 * chunk + waited[hour] for hour in range(hours)
    }


async def test_long_messages_over_a_thousand_destinations_have_a_bound_in_bytes(
    tmp_path: Path,
) -> None:
    """With Redis down, 25,000 distinct messages of 1 kB stay within `max_pending_bytes`.

    Some are awaited with a deadline. Distinct messages, recent entries and unfolded entries may
    take `max_pending_bytes` each, and a commit in progress as much again.
    """
    calls, destinations, bound = 25_000, 1_000, 2 * 1024 * 1024
    names = [f"service {number}" for number in range(destinations)]
    text = "x" * 1000

    with valkey_server(tmp_path) as server:
        log = logcommon.connect(
            server.connection_url, max_pending=1_000_000, max_pending_bytes=bound, drain_timeout=0
        )
        async with log:
            await log.log_common("api", "before")
            server.terminate()
            log.log_common_nowait("api", "m")
            await until(lambda: log.stats.failures > 0)
            tracemalloc.start()
            for number in range(calls):
                log.log_common_nowait(names[number % destinations], f"{number} {text}")
                if number % 10 == 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0):
                            await log.log_common(names[0], f"awaited {number} {text}")
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            waiters = writer_of(log)._waiters
            stats = log.stats

    assert most < 5 * bound
    assert not waiters
    assert stats.pending == stats.calls - stats.counted == calls + calls // 10 + 1


async def test_names_that_are_all_distinct_forever(valkey_url: str, valkey: Redis) -> None:
    """Any number of services and severities use no more than the allowed destinations."""
    async with logcommon.connect(valkey_url, max_destinations=20) as log:
        for number in range(20_000):
            log.log_common_nowait(f"api {number}", "m", number % 1000)
            if number % 1000 == 0:
                await log.flush()
        await log.flush()
        buffer = log._buffer
        assert len(buffer._tallies) == 20 + 1
        assert sum(map(len, buffer._by_severity_and_name.values())) <= 20
        assert log.stats.counted + log.stats.other == 20_000
        assert len(writer_of(log)._backlog._batches) == 0

    assert await valkey.scard("logcommon:destinations") == 20 + 1
    ((_, others),) = (await read_counts(valkey, OTHER, OTHER)).items()
    assert others == {OTHER: 20_000 - 20}
