"""Captures that are nested, cleared, forked, or used by several threads and event loops."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.marks import Marks
from logcommon.read.reader import Reader
from logcommon.testing import Captured, capture
from support.clock import HandClock
from support.examples import counts_in
from support.fork import in_child
from support.layout import total
from support.servers import NOWHERE


async def test_captures_can_be_nested() -> None:
    """The innermost counts; the outer one has what was logged around it."""
    unopened, background = logcommon.connect(NOWHERE), logcommon.background(NOWHERE)
    with capture() as outer:
        async with logcommon.connect(NOWHERE) as opened:
            for log in (unopened, background, opened):
                log.log_common_nowait("shop", "outer")
            with capture() as inner:
                for log in (unopened, background, opened, outer.log):
                    log.log_common_nowait("shop", "inner")
            unopened.log_common_nowait("shop", "outer")
    assert outer.counts == {("shop", "info", "outer"): 4}
    assert inner.counts == {("shop", "info", "inner"): 4}


async def test_captures_need_not_end_in_order() -> None:
    """One that ends before one that began later keeps what it has."""
    log = logcommon.connect(NOWHERE)
    first, second = capture(), capture()
    captured = [first.__enter__()]
    log.log_common_nowait("shop", "first")
    captured.append(second.__enter__())
    first.__exit__(None, None, None)
    log.log_common_nowait("shop", "second")
    second.__exit__(None, None, None)
    assert captured[0].counts == {("shop", "info", "first"): 1}
    assert captured[1].counts == {("shop", "info", "second"): 1}
    assert log.stats.calls == 0


async def test_after_an_exception_all_is_as_before(valkey_url: str, valkey: Redis) -> None:
    """A test that fails doesn't take the next one's server away."""
    with pytest.raises(ZeroDivisionError), capture():
        1 / 0  # noqa: B018
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api", "after")
    assert await counts_in(valkey) == {("api", "info", "after"): 1}


async def test_clear_forgets() -> None:
    """Counts and recent entries of every kind of client; what is logged afterwards is captured."""
    background, unopened = logcommon.background(NOWHERE), logcommon.connect(NOWHERE)
    with capture() as captured:
        async with logcommon.connect(NOWHERE) as log:
            for message in ("before", "after"):
                captured.clear()
                assert not captured.counts
                assert not captured.recent
                assert not await log.top("shop")

                for each in (log, background, unopened):
                    each.log_common_nowait("shop", message)
            assert captured.counts == {("shop", "info", "after"): 3}
            assert captured.recent == {("shop", "info"): ["after"] * 3}


def test_threads_are_counted_exactly_while_they_log() -> None:
    """What is read grows, never shows more than was logged, and in the end is exact."""
    threads, calls = 4, 5_000
    with capture() as captured, logcommon.background(NOWHERE, linger=0.001) as log:
        logged = [0] * threads

        def work(thread: int) -> None:
            for number in range(calls):
                logged[thread] += 1
                log.log_common_nowait("shop", f"message {number % 50}")

        with ThreadPoolExecutor(threads) as pool:
            tasks = [pool.submit(work, thread) for thread in range(threads)]
            seen = 0
            while not all(task.done() for task in tasks):
                now = captured.counts.total()
                assert seen <= now <= sum(logged)
                seen = now
        assert captured.counts.total() == threads * calls


async def test_a_thread_may_log_while_captures_begin_and_end(
    valkey_url: str, valkey: Redis
) -> None:
    """Each call is in a capture or in Redis, once."""
    captures: list[Captured] = []
    over = threading.Event()
    with logcommon.background(valkey_url) as log:

        def work() -> int:
            calls = 0
            while not over.is_set():
                log.log_common_nowait("api", "m")
                calls += 1
            return calls

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            for _ in range(200):
                with capture() as captured:
                    await asyncio.sleep(0)
                captures.append(captured)
            over.set()
            calls = working.result()
    # Not before: a call may end after the capture in which it began.
    captured_calls = sum(each.counts.total() for each in captures)
    assert captured_calls > 0
    assert await total(valkey) + captured_calls == calls


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_copy_of_the_capture() -> None:
    """What the child logs is captured there, and not in the parent."""
    log = logcommon.background(NOWHERE)

    def child() -> None:
        log.log_common_nowait("shop", "in the child")
        assert captured.counts == {("shop", "info", "in the child"): 1}

    with capture() as captured:
        assert in_child(child) == 0
        assert not captured.counts


def test_clients_in_several_event_loops_are_captured() -> None:
    """Each in a thread with a loop of its own, all turning the hour at the same time."""
    barrier = threading.Barrier(4)

    async def log_some() -> None:
        clock = HandClock()
        async with logcommon.connect(NOWHERE, clock=clock) as log:
            for _ in range(10):
                barrier.wait()
                clock.turn()
                await log.log_common("shop", "order taken")

    with capture() as captured, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, log_some()) for _ in range(4)]:
            done.result()
    assert captured.counts == {("shop", "info", "order taken"): 40}


def test_a_client_whose_loop_was_closed_is_captured() -> None:
    """A test that doesn't close the client spoils neither its own capture nor the next."""
    log = logcommon.connect(NOWHERE)

    async def leave_open() -> None:
        await log.__aenter__()
        log.log_common_nowait("shop", "order taken")

    for _ in range(2):
        with capture() as captured:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(leave_open())
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            loop.close()
            assert captured.counts == {("shop", "info", "order taken"): 1}
        assert captured.counts == {("shop", "info", "order taken"): 1}


async def test_a_read_may_begin_while_the_capture_ends(valkey_url: str) -> None:
    """A method that was looked up during a capture reads Redis afterwards."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("shop", "in Redis")
        with capture():
            top = Reader.top

        assert log._session is not None
        (row,) = await top(log._session.reader, "shop", "info", 10, None)
        assert row.message == "in Redis"


async def test_a_mark_may_begin_while_the_capture_ends(valkey_url: str) -> None:
    """It is noted in Redis then, and clearing a capture forgets only what that captured."""
    async with logcommon.connect(valkey_url) as log:
        with capture() as captured:
            add = Marks.add
            await log.mark("captured")
            assert [mark.text for mark in captured.marks] == ["captured"]
            captured.clear()

        assert log._session is not None
        await add(Marks(log._session.client, time.time), "in Redis")
        assert [mark.text for mark in await log.marks()] == ["in Redis"]
