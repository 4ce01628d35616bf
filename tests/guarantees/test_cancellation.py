"""A client cancelled at any point drains, counts once, and accounts for the rest."""

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import Sequence

import anyio
import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.write.writer import Writer
from support.inside import host_of
from support.layout import read_counts, total
from support.servers import free_port
from support.suspensions import Canceller, Suspensions
from support.until import until

MESSAGES = "abcab"


async def log_in_rounds(log: logcommon.CommonLog) -> str:
    """Log three rounds, awaiting each until the client ends; return what was logged, in order."""
    for _ in range(3):
        for message in MESSAGES:
            log.log_common_nowait("api", message)
        try:
            with anyio.fail_after(20):
                await log.flush()
        except logcommon.LogCommonError:
            await asyncio.sleep(0)
    return 3 * MESSAGES


async def assert_exact(log: logcommon.CommonLog, valkey: Redis, logged: Sequence[str]) -> None:
    """Assert that Redis has all of `logged`, except what came too late, which `stats` counts."""
    stats = log.stats
    assert (stats.calls, stats.pending, stats.dropped_unwritten) == (len(logged), 0, 0), stats
    counted = Counter(logged[: stats.calls - stats.dropped_closed])
    assert stats.counted == counted.total()
    assert sum((await read_counts(valkey)).values(), Counter()) == counted


def cancel_the_writer(monkeypatch: pytest.MonkeyPatch, canceller: Canceller) -> None:
    run = Writer.run

    async def visited(self: Writer, client: Redis) -> None:
        await Suspensions(run(self, client), canceller.visit)

    monkeypatch.setattr(Writer, "run", visited)


@pytest.mark.parametrize("late", [False, True])
async def test_the_writer_cancelled_at_any_await(
    valkey_url: str, valkey: Redis, late: bool
) -> None:
    """A writer cancelled at any await drains and counts once."""
    for number in itertools.count():
        await valkey.flushall()
        log, canceller = logcommon.connect(valkey_url, linger=0), Canceller(number, late=late)
        with pytest.MonkeyPatch.context() as patch:
            cancel_the_writer(patch, canceller)
            async with log:
                logged = await log_in_rounds(log)
        await assert_exact(log, valkey, logged)
        if not canceller.reached:
            break

    assert number > 10, "hardly an await was found"


async def test_the_writer_cancelled_over_and_over(valkey_url: str, valkey: Redis) -> None:
    """What a cancelled writer can't write is dropped, and in doubt if Redis may have it."""
    for number in itertools.count():
        await valkey.flushall()
        log, canceller = logcommon.connect(valkey_url), Canceller(number, over_and_over=True)
        with pytest.MonkeyPatch.context() as patch:
            cancel_the_writer(patch, canceller)
            async with log:
                logged = await log_in_rounds(log)
        stats = log.stats
        assert (stats.calls, stats.pending) == (len(logged), 0)
        assert stats.counted <= await total(valkey) <= stats.counted + stats.in_doubt
        if not canceller.reached:
            break

    assert number > 10, "hardly an await was found"


async def test_whoever_waits_cancelled_at_any_await(valkey_url: str, valkey: Redis) -> None:
    """A cancelled call or flush leaves its entry accepted, and affects no other call."""
    async with logcommon.connect(valkey_url) as log:
        for late, call in itertools.product([False, True], [log.log_common, log.log_recent]):
            for number in itertools.count():
                canceller = Canceller(number, late=late)
                waits = Suspensions(call("api", "m"), canceller.visit)
                flushes = Suspensions(log.flush(), canceller.visit)
                both = [asyncio.ensure_future(waits), asyncio.ensure_future(flushes)]
                other = asyncio.ensure_future(log.log_common("api", "other"))
                assert not (await asyncio.wait([*both, other], timeout=20))[1], "somebody waits on"
                assert all(task.cancelled() == canceller.reached for task in both)
                if not canceller.reached:
                    break

    await assert_exact(log, valkey, ["m", "other"] * 4 + ["other"] * 4)


@pytest.mark.parametrize("late", [False, True])
async def test_the_close_cancelled_at_any_await(valkey_url: str, valkey: Redis, late: bool) -> None:
    """A cancelled close first writes everything, and is then cancelled."""
    for number in itertools.count():
        await valkey.flushall()
        canceller, log = Canceller(number, late=late), logcommon.connect(valkey_url, linger=3600)
        await log.__aenter__()
        await log.flush()
        for message in MESSAGES:
            log.log_common_nowait("api", message)
        closes = Suspensions(log.__aexit__(None, None, None), canceller.visit)
        closing = asyncio.ensure_future(closes)
        await asyncio.wait([closing])
        assert closing.cancelled() == canceller.reached
        await assert_exact(log, valkey, MESSAGES)
        if not canceller.reached:
            break

    assert number > 0


async def test_a_client_is_entered_again_after_a_cancelled_close(
    valkey_url: str, valkey: Redis
) -> None:
    """After a cancelled close the old session has ended, and takes nothing from the next one."""
    log = logcommon.connect(valkey_url, linger=3600)
    for _ in range(3):
        await log.__aenter__()
        await log.flush()
        for message in MESSAGES:
            log.log_common_nowait("api", message)
        closing = asyncio.create_task(log.__aexit__(None, None, None))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

    await assert_exact(log, valkey, 3 * MESSAGES)


async def test_a_block_that_outlives_its_writer(valkey_url: str, valkey: Redis) -> None:
    """After all tasks were cancelled, ours included, leaving the block raises nothing new."""
    async with logcommon.connect(valkey_url, linger=3600) as log:
        await log.flush()
        for message in MESSAGES:
            log.log_common_nowait("api", message)
        host_of(log).cancel()
        await asyncio.wait([host_of(log)])
        log.log_common_nowait("api", "late")
    await assert_exact(log, valkey, [*MESSAGES, "late"])


def test_a_loop_that_ends_under_a_crowd_of_tasks(valkey_url: str) -> None:
    """Tasks cancelled while they wait, which log once more on their way out, are counted."""

    async def work(number: int) -> None:
        try:
            while True:
                logged.append(f"m{number}")
                await log.log_common("api", f"m{number}")
        finally:
            logged.append("finally")
            log.log_common_nowait("api", "finally")

    async def main() -> None:
        await log.__aenter__()
        tasks.update(asyncio.create_task(work(number)) for number in range(50))
        await until(lambda: log.stats.counted > 200)

    async def look() -> None:
        async with Redis.from_url(valkey_url) as valkey:
            await assert_exact(log, valkey, logged)

    log, logged = logcommon.connect(valkey_url), list[str]()
    tasks: set[asyncio.Task[None]] = set()
    asyncio.run(main())
    asyncio.run(look())


def test_a_loop_that_ends_while_the_server_is_down() -> None:
    """After the drain's deadline the rest is counted as dropped, and nothing stays pending."""

    async def main() -> None:
        await log.__aenter__()
        for _ in range(1000):
            log.log_common_nowait("api", "m")

    log = logcommon.connect(f"redis://127.0.0.1:{free_port()}", drain_timeout=0.05)
    asyncio.run(main())
    gc.collect()  # what was never awaited would say so now
    assert (log.stats.dropped_unwritten, log.stats.pending, log.stats.in_doubt) == (1000, 0, 0)
