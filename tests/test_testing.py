"""What an application logs in its tests, kept in memory."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fastapi import FastAPI
from redis.asyncio import Redis

import logcommon
from logcommon import ClientClosedError, InvalidArgumentError
from logcommon.integrations.aiohttp import LOG, setup
from logcommon.integrations.asgi import CommonLogMiddleware, lifespan
from logcommon.integrations.fastapi import Log
from logcommon.integrations.logging import CommonLogHandler
from logcommon.model import OTHER
from logcommon.read.reader import Reader
from logcommon.testing import Captured, capture, fake_client
from logcommon.write.buffer import Buffer
from support.clock import HandClock
from support.examples import counts_in
from support.fork import in_child
from support.layout import total

NOWHERE = "redis://:secret@localhost:1/0"
"""Nothing listens there."""


@pytest.fixture(autouse=True)
def _back_to_normal() -> Iterator[None]:
    """Whatever a test does, clients write to their own servers after it."""
    originals = Buffer.put, Buffer.put_recent, Reader.top
    yield
    assert (Buffer.put, Buffer.put_recent, Reader.top) == originals


def handling(handler: logging.Handler) -> logging.Logger:
    """Return a logger of its own that has just this handler."""
    logger = logging.Logger("shop")  # noqa: LOG001  # of its own
    logger.addHandler(handler)
    return logger


# Which clients


def test_a_background_client_is_captured_at_once_and_for_good() -> None:
    """Without an event loop, a call is seen as soon as it returns, and after the capture."""
    with capture() as captured:
        log = logcommon.background(NOWHERE)
        for _ in range(3):
            log.log_common_nowait("shop", "order taken")
            log.log_recent_nowait("shop", "said once")
        assert captured.counts == {("shop", "info", "order taken"): 3}
        assert captured.recent == {("shop", "info"): ["said once", "order taken"] * 3}

    assert captured.counts == {("shop", "info", "order taken"): 3}
    assert captured.recent == {("shop", "info"): ["said once", "order taken"] * 3}
    assert log.stats.lost_connections == 0


async def test_a_client_in_an_event_loop_reads_what_it_wrote() -> None:
    """Every method of a client answers from memory, as it would from Redis."""
    with capture() as captured:
        async with logcommon.connect(NOWHERE) as log:
            log.log_common_nowait("shop", "order taken", logging.ERROR)
            await log.log_common("shop", "order taken", "ERROR")
            await log.log_recent("shop", "late")
            await log.flush()

            (row,) = await log.top("shop", "error")
            assert (row.count, row.message) == (2, "order taken")
            assert [row.message for row in await log.recent("shop")] == ["late"]
            assert await log.destinations() == [("shop", "error"), ("shop", "info")]
            assert len(await log.hours("shop", "error")) == 1
            assert log.stats.lost_connections == 0

    assert captured.counts == {("shop", "error", "order taken"): 2}
    assert captured.counts["shop", "info", "never logged"] == 0


def test_a_client_that_nobody_opens_is_captured() -> None:
    """A test of one function need not open the client that it logs through."""
    with capture() as captured:
        log = logcommon.connect(NOWHERE)
        log.log_common_nowait("shop", "order taken")
        captured.log.log_common_nowait("shop", "order paid")
        assert captured.counts.total() == 2
    assert captured.counts == {
        ("shop", "info", "order taken"): 1,
        ("shop", "info", "order paid"): 1,
    }


async def test_a_client_made_before_is_captured_and_has_its_own_back(
    valkey_url: str, valkey: Redis
) -> None:
    """Whether it is open, unopened or in the background, each entry gets to its place."""
    unopened = logcommon.connect(valkey_url)
    with logcommon.background(valkey_url) as background:
        async with logcommon.connect(valkey_url) as opened:
            clients = (unopened, background, opened)
            for message in ("before", "after"):
                for log in clients:
                    log.log_common_nowait("api", message)
                with capture() as captured:
                    for log in clients:
                        log.log_common_nowait("api", "inside")
                    await opened.log_common("api", "inside")
                    await opened.flush()
                    assert background.flush()
                assert captured.counts == {("api", "info", "inside"): 4}
    async with unopened:
        pass
    assert await counts_in(valkey) == {("api", "info", "before"): 3, ("api", "info", "after"): 3}


async def test_a_client_of_redis_is_not_used() -> None:
    """A client of the application's own is not asked either."""
    with capture() as captured:
        async with logcommon.connect(Redis.from_url(NOWHERE)) as log:
            await log.log_common("shop", "order taken")
            assert (await log.top("shop"))[0].count == 1
    assert captured.counts.total() == 1


# In what applications use


def test_a_handler_is_captured() -> None:
    """In sync code, given a URL and given the client of a capture."""
    with capture() as captured:
        handling(CommonLogHandler(NOWHERE)).warning("user %s is over the limit", "bob")
        handling(CommonLogHandler(captured.log)).warning("user %s is over the limit", "eve")
        assert captured.counts == {("shop", "warning", "user %s is over the limit"): 2}


async def test_middleware_with_a_url_is_captured_again_and_again() -> None:
    """An application that is made once is captured by each test for itself."""
    app = FastAPI()
    app.add_middleware(CommonLogMiddleware, log=NOWHERE, service="shop")

    @app.post("/orders")
    async def order(log: Log) -> None:
        await log.log_common("shop", "order taken")

    for times in (1, 2):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            with capture() as captured:
                for _ in range(times):
                    await client.post("/orders")
        assert captured.counts == {
            ("shop", "info", "order taken"): times,
            ("shop", "info", "POST /orders 200"): times,
        }


async def test_middleware_with_a_client_is_captured() -> None:
    """Opened by a lifespan, before or inside of the capture, made by either."""
    with capture() as captured:
        for log in (captured.log, logcommon.connect(NOWHERE)):
            app = FastAPI(lifespan=lifespan(log))
            app.add_middleware(CommonLogMiddleware, log=log, service="shop")
            async with app.router.lifespan_context(app):
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(
                    transport=transport, base_url="http://shop.test"
                ) as client:
                    await client.get("/nothing")
    assert captured.counts == {("shop", "warning", "GET <no route> 404"): 2}


async def test_aiohttp_is_captured() -> None:
    """With a URL, as in production, and with the client of a capture."""

    async def order(request: web.Request) -> web.Response:
        await request.app[LOG].log_common("shop", "order taken")
        return web.Response()

    with capture() as captured:
        for log in (NOWHERE, captured.log):
            app = web.Application()
            app.router.add_post("/orders", order)
            setup(app, log, service="shop")
            async with TestClient(TestServer(app)) as client:
                await client.post("/orders")
        assert captured.counts == {
            ("shop", "info", "order taken"): 2,
            ("shop", "info", "POST /orders 200"): 2,
        }


# The same rules as in production


async def test_messages_are_treated_as_in_production() -> None:
    """Redacted, cut, under names of severities, and as `<other>` past a bound."""
    with capture() as captured:
        async with logcommon.connect(
            NOWHERE,
            redact=lambda message: message.replace("secret", "***"),
            max_message_bytes=16,
            max_pending=2,
        ) as log:
            log.log_common_nowait("shop", "secret", logging.CRITICAL)
            log.log_common_nowait("shop", "x" * 17, "Notice")
            log.log_common_nowait("shop", "one too many")
            assert captured.counts == {
                ("shop", "critical", "***"): 1,
                ("shop", "notice", "x" * 13 + "…"): 1,
                ("shop", "info", OTHER): 1,
            }


async def test_text_without_utf_8_reads_the_same_before_and_after_a_commit() -> None:
    """As it is stored, and read by other clients."""
    with capture() as captured:
        async with logcommon.connect(NOWHERE) as log:
            log.log_common_nowait("shop: {é}", "\udc80")
            for _ in ("before", "after"):
                assert captured.counts == {("shop: {é}", "info", "\\udc80"): 1}
                assert captured.recent == {("shop: {é}", "info"): ["\\udc80"]}
                await log.flush()


async def test_the_recent_log_keeps_a_hundred() -> None:
    """Of two clients together, the newest first."""
    with capture() as captured:
        log, other = logcommon.connect(NOWHERE), logcommon.connect(NOWHERE)
        for number in range(130):
            (log if number % 2 else other).log_common_nowait("shop", str(number))
        expected = [str(number) for number in range(129, 29, -1)]
        assert captured.recent == {("shop", "info"): expected}

        for each in [log] * 100 + [other] * 100:
            each.log_recent_nowait("shop", "m")
        assert captured.recent == {("shop", "info"): ["m"] * 100}


async def test_errors_are_those_of_production() -> None:
    """Bad input, a bad URL, and a client that is not open."""
    with capture() as captured:
        with pytest.raises(InvalidArgumentError):
            logcommon.connect("http://localhost")
        log = logcommon.connect(NOWHERE)
        with pytest.raises(InvalidArgumentError):
            log.log_common_nowait("", "message")
        with pytest.raises(ClientClosedError):
            await log.log_common("shop", "message")
        async with log:
            pass
        log.log_common_nowait("shop", "too late")
        assert log.stats.dropped_closed == 1
        assert not captured.counts


async def read_all(log: logcommon.CommonLog, clock: HandClock) -> list[object]:
    """Log over some hours, and return all that can be read then."""
    seen: list[object] = []
    for hour in (0, 1, 3, -1, 1, -4, -9):
        clock.turn(hour)
        for number in range(8):
            log.log_common_nowait("shop: {a}", f"message é {number}")
            log.log_common_nowait("shop: {a}", f"message {number % 3}", "error")
        log.log_recent_nowait("shop: {a}", "\udc80")
        await log.flush()
        for severity in ("info", "error"):
            hours = await log.hours("shop: {a}", severity)
            seen += hours, await log.recent("shop: {a}", severity)
            seen += [await log.top("shop: {a}", severity, 3, each) for each in hours]
    return [
        *seen,
        await log.destinations(),
        await log.hours_by_destination(),
    ]


async def test_memory_answers_as_a_server_does(valkey_url: str) -> None:
    """The same calls, over several hours, read the same from memory and from Valkey."""
    async with logcommon.connect(valkey_url, clock=(clock := HandClock())) as log:
        expected = await read_all(log, clock)
    with capture():
        async with logcommon.connect(NOWHERE, clock=(clock := HandClock())) as log:
            assert await read_all(log, clock) == expected


# Nested, forgotten, at the same time


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
async def test_a_read_may_begin_while_the_capture_ends(valkey_url: str) -> None:
    """A method that was looked up during a capture reads Redis afterwards."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("shop", "in Redis")
        with capture():
            top = Reader.top

        assert log._session is not None
        (row,) = await top(log._session.reader, "shop", "info", 10, None)
        assert row.message == "in Redis"


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


def test_the_text_of_a_capture_shows_the_counts_alone() -> None:
    """It helps to see why an assertion failed, and has no URL in it."""
    with capture() as captured:
        logcommon.background(NOWHERE).log_common_nowait("shop", "order taken")
        shown = "<logcommon.testing.Captured {('shop', 'info', 'order taken'): 1}>"
        assert repr(captured) == shown


# A whole Redis, imitated


async def test_a_fake_client_has_an_empty_redis_of_its_own() -> None:
    """Two don't see each other's counts, and settings are passed on."""
    async with fake_client(redact=str.upper) as log, fake_client() as other:
        await log.log_common("shop", "order taken")
        (row,) = await log.top("shop")
        assert (row.count, row.message) == (1, "ORDER TAKEN")
        assert await other.destinations() == []


def test_without_fakeredis_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a fake client needs it."""
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(ImportError, match="pip install fakeredis"):
        fake_client()


def test_a_fakeredis_that_is_broken_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If it lacks a module of its own, that is the error."""
    monkeypatch.delitem(sys.modules, "fakeredis")
    monkeypatch.setitem(sys.modules, "fakeredis.aioredis", None)
    with pytest.raises(ModuleNotFoundError, match=r"fakeredis\.aioredis"):
        fake_client()


# pytest

IN_A_PROJECT = """
import sys
import logging

assert "logcommon" not in sys.modules, "imported before the tests were"


def test_first(logcommon_capture):
    import logcommon

    global log
    log = logcommon.background("redis://localhost:1/0")
    log.log_common_nowait("shop", "first")
    assert logcommon_capture.counts == {("shop", "info", "first"): 1}


def test_second(logcommon_capture):
    log.log_common_nowait("shop", "second")
    assert logcommon_capture.counts == {("shop", "info", "second"): 1}


def test_that_fails(logcommon_capture):
    log.log_common_nowait("shop", "third")
    assert logcommon_capture.counts == {("shop", "info", "3rd"): 1}
"""


def test_pytest_has_the_fixture(tmp_path: Path) -> None:
    """Each test gets a capture of its own, and the package is imported no earlier than by tests."""
    (tmp_path / "test_shop.py").write_text(IN_A_PROJECT)
    # By the name of the entry point; the plugins of others would take seconds to load.
    pytest_alone = ("-m", "pytest", "-W", "error", "--disable-plugin-autoload", "-p", "logcommon")
    done = subprocess.run(
        [sys.executable, *pytest_alone, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "Left contains 1 more item:\nE         {('shop', 'info', 'third'): 1}\n" in done.stdout
