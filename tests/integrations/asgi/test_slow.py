"""Slow requests, as the ASGI middleware counts them."""

from collections import Counter

from redis.asyncio import Redis
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware
from support.asgi import BUG, App, Message, ask, bug, client_of, shop
from support.clock import HandClock
from support.web import counted


async def test_slow_requests_count_once_more(
    log: logcommon.CommonLog, valkey: Redis, time: HandClock
) -> None:
    """Requests over the threshold count as slow, even if they fail; background tasks don't."""

    async def later() -> None:
        time.now += 100

    async def endpoint(request: Request) -> Response:
        time.now += float(request.path_params["seconds"])
        if "bug" in request.query_params:
            await bug(request)
        return PlainTextResponse("x", background=BackgroundTask(later))

    app = shop(Route("/{seconds}", endpoint), log=log, slow_after=2)
    async with client_of(app, raises=False) as client:
        for path in ("/0", "/2", "/2.5", "/3?bug", "/1?bug"):
            await client.get(path)
    assert await counted(log, valkey) == {
        "info": Counter({"GET /{seconds} 200": 3}),
        "warning": Counter({"GET /{seconds} slow": 2}),
        "error": Counter({f"GET /{{seconds}} {BUG}": 2}),
    }


async def test_a_slow_stream_counts_while_it_lasts(
    log: logcommon.CommonLog, valkey: Redis, time: HandClock
) -> None:
    """It counts as slow once, when it next sends something, or at its end."""

    async def app(scope: Message, receive: App, send: App) -> None:
        await send({"type": "http.response.start", "status": 200})
        calls = log.stats.calls
        for seconds, seen in ((2, 0), (1, 1), (5, 1)):
            time.now += seconds
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            assert log.stats.calls - calls == (seen if scope["path"] == "/some" else 0)
        await send({"type": "http.response.body"})

    async def late(scope: Message, receive: App, send: App) -> None:
        await send({"type": "http.response.start", "status": 200})
        time.now += 3
        await send({"type": "http.response.body"})

    async def silent(*_: object) -> None:
        time.now += 3

    scope = {"type": "http", "method": "GET", "path": "/"}
    await CommonLogMiddleware(silent, log, slow_after=2)(scope, silent, silent)
    await ask(CommonLogMiddleware(app, log, slow_after=2), "GET /some")
    await ask(CommonLogMiddleware(late, log, slow_after=2), "GET /late")
    await ask(CommonLogMiddleware(app, log, slow_after=None), "GET /none")
    assert await counted(log, valkey) == {
        "info": Counter({"GET <no route> 200": 3}),
        "warning": Counter({"GET <no route> slow": 3}),
        "error": Counter({"GET <no route> 500": 1}),
    }
