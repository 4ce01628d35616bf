"""The client of an aiohttp application: when it is opened and closed, and without a Redis."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.aiohttp import LOG, common_log_middleware
from support.aiohttp import BROKEN, app_of, broken, counted, fine, install, running
from support.clock import HandClock
from support.proxy import Proxy
from support.servers import valkey_server
from support.until import until


async def test_responses_do_not_wait_for_redis(tmp_path: Path, clock: HandClock) -> None:
    """While Redis is down requests are served as usual, and they are counted once it is back."""
    with valkey_server(tmp_path) as server:
        port = server.port
        server.terminate()
        app = app_of(fine=fine, broken=broken)
        log = logcommon.connect(f"redis://127.0.0.1:{port}", clock=clock)
        install(app, log)

        async with running(app) as client:
            for _ in range(20):
                assert await (await client.get("/fine")).text() == "fine"
                assert (await client.get("/broken")).status == 500
            await until(lambda: log.stats.failures > 0)
            assert (log.stats.calls, log.stats.counted) == (40, 0)
            server.start()
            await log.flush()
        async with Redis(port=port) as valkey:
            assert await counted(valkey) == {
                "info": Counter({"GET /fine 200": 20}),
                "error": Counter({f"GET /broken {BROKEN}": 20}),
            }


async def test_a_redis_that_hangs_holds_up_no_response(
    proxy: Proxy, valkey: Redis, clock: HandClock
) -> None:
    """If Redis accepts connections but never replies, requests are served and counted later."""
    proxy.gate.clear()
    app = app_of(fine=fine)
    log = logcommon.connect(proxy.url, clock=clock)
    install(app, log)

    async with running(app) as client:
        for _ in range(20):
            assert (await client.get("/fine")).status == 200
        assert (log.stats.calls, log.stats.counted) == (20, 0)
        proxy.gate.set()
    assert await counted(valkey) == {"info": Counter({"GET /fine 200": 20})}


async def test_with_a_url_the_application_has_a_client(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """It opens before startup and closes after shutdown; settings are passed to `connect`."""
    app = web.Application()

    async def order(request: web.Request) -> web.Response:
        await request.app[LOG].log_common("web", "order taken")
        return web.Response()

    app.router.add_get("/orders/{id}", order)
    install(app, valkey_url, clock=clock, linger=3600)
    async with running(app) as client:
        for number in range(5):
            await client.get(f"/orders/{number}")
    assert await counted(valkey) == {"info": Counter({"GET /orders/{id} 200": 5, "order taken": 5})}
    with pytest.raises(logcommon.InvalidArgumentError, match="pass linger where it is made"):
        install(web.Application(), logcommon.connect(valkey_url), linger=1)
    with pytest.raises(logcommon.InvalidArgumentError, match="connect, not str"):
        common_log_middleware(valkey_url)  # type: ignore[arg-type]


async def test_a_client_that_is_not_open_is_warned_of_once(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The middleware alone doesn't open the client; counts are written when it is opened."""
    app = web.Application(middlewares=[common_log_middleware(log)])
    async with running(app) as client:
        for _ in range(3):
            await client.get("/")
        records = [record for record in caplog.records if record.name == "logcommon"]
        assert ["open it when the application starts" in each.message for each in records] == [True]
        async with log:
            pass
    assert await counted(valkey) == {"warning": Counter({"GET <no route> 404": 3})}


async def test_what_is_logged_while_the_application_ends(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """The client opens before anything else, and closes after all cleanup of all applications."""
    app, below = web.Application(), web.Application()

    async def at_start_and_end(_: web.Application) -> AsyncIterator[None]:
        await log.log_common("web", "started")
        yield
        await log.log_common("web", "cleaned up")

    async def at_end(_: web.Application) -> None:
        await log.log_common("web", "ended")

    async def order(request: web.Request) -> web.Response:
        await request.config_dict[LOG].log_common("web", "ordered")
        return web.Response()

    for each in (app, below):
        each.cleanup_ctx.append(at_start_and_end)
        each.on_shutdown.append(at_end)
        each.on_cleanup.append(at_end)
        each.router.add_get("/order", order)
    install(app, log)
    app.add_subapp("/below", below)
    app.on_cleanup.append(at_end)
    async with running(app) as client:
        assert app[LOG] is log
        for path in ("/order", "/below/order"):
            await client.get(path)
    model = Counter({"started": 2, "cleaned up": 2, "ended": 5, "ordered": 2})
    model.update(["GET /order 200", "GET /below/order 200"])
    assert await counted(valkey) == {"info": model}
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()


async def test_an_application_that_does_not_start(log: logcommon.CommonLog) -> None:
    """If startup fails, the cleanup of aiohttp closes the client."""

    async def fails(_: web.Application) -> None:
        raise KeyError

    app = web.Application()
    app.on_startup.append(fails)
    install(app, log)
    runner = web.AppRunner(app)
    with pytest.raises(KeyError):
        await runner.setup()
    await app.cleanup()
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()


async def test_an_application_that_is_frozen_before_it_starts(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """A sub-application, or one that starts a second time, also closes its client."""
    app, below = web.Application(), app_of(fine=fine)
    install(below, log)
    app.add_subapp("/below", below)
    for _ in range(2):
        async with running(app) as client:
            await client.get("/below/fine")
        assert log.stats.pending == 0
    assert await counted(valkey) == {"info": Counter({"GET /below/fine 200": 2})}
