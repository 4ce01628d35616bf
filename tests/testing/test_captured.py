"""Whichever client or integration an application logs through, a capture has it."""

import logging

import httpx
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fastapi import FastAPI
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.aiohttp import LOG, setup
from logcommon.integrations.asgi import CommonLogMiddleware, lifespan
from logcommon.integrations.fastapi import Log
from logcommon.integrations.logging import CommonLogHandler
from logcommon.testing import capture
from support.examples import counts_in
from support.servers import NOWHERE


def handling(handler: logging.Handler) -> logging.Logger:
    """Return a logger of its own that has just this handler."""
    logger = logging.Logger("shop")  # noqa: LOG001  # of its own
    logger.addHandler(handler)
    return logger


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
