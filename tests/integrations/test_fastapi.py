"""The client as a dependency of FastAPI."""

from collections import Counter
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware, lifespan
from logcommon.integrations.fastapi import Log, get_log
from support.layout import read_counts


def shop(log: logcommon.CommonLog, *, middleware: bool = True) -> FastAPI:
    """Return an application with handlers that log in each kind of route."""
    app, router, sub = FastAPI(lifespan=lifespan(log)), APIRouter(), FastAPI()
    if middleware:
        app.add_middleware(CommonLogMiddleware, log=log, choose=lambda _: None)

    @app.get("/top/{product}")
    @router.get("/included/{product}")
    @sub.get("/mounted/{product}")
    async def order(product: str, log: Log) -> None:
        await log.log_common("shop", f"{product} ordered")

    @app.get("/sync/{product}")
    def order_sync(product: str, log: Log) -> None:
        log.log_common_nowait("shop", f"{product} ordered")

    @app.websocket("/chat")
    async def chat(websocket: WebSocket, log: Log) -> None:
        await websocket.accept()
        log.log_common_nowait("shop", "chat begun")
        await websocket.close()

    app.include_router(router, prefix="/v1")
    app.mount("/sub", sub)
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """Return a client that calls an application without a server in between."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test")


async def test_a_handler_gets_the_client(valkey_url: str, valkey: Redis) -> None:
    """Every kind of route gets it; an awaited call is in Redis before the response."""
    log = logcommon.connect(valkey_url)
    async with log, client_of(shop(log)) as client:
        for number, path in enumerate(("/top", "/v1/included", "/sub/mounted"), start=1):
            assert (await client.get(f"{path}/tea")).status_code == 200
            assert log.stats.counted == number
        assert (await client.get("/sync/tea")).status_code == 200
    found = await read_counts(valkey, "shop")
    assert sum(found.values(), Counter()) == Counter({"tea ordered": 4})


async def test_with_a_url_a_handler_gets_a_client_that_is_open(
    valkey_url: str, valkey: Redis
) -> None:
    """It needs no lifespan, and is open for the first request already."""
    app = FastAPI()
    app.add_middleware(CommonLogMiddleware, log=valkey_url, choose=lambda _: None)

    @app.get("/{product}")
    async def order(product: str, log: Log) -> int:
        await log.log_common("shop", f"{product} ordered")
        return (await log.top("shop"))[0].count

    async with client_of(app) as client:
        counts = [(await client.get("/tea")).json() for _ in range(3)]
    assert counts == [1, 2, 3]


async def test_a_websocket_gets_the_client(valkey_url: str, valkey: Redis) -> None:
    """The same parameter works for a websocket."""
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(str(message["type"]))

    async with logcommon.connect(valkey_url) as log:
        scope = {"type": "websocket", "path": "/chat", "headers": [], "query_string": b""}
        await shop(log)(scope, receive, send)
        assert sent == ["websocket.accept", "websocket.close"]
    found = await read_counts(valkey, "shop")
    assert sum(found.values(), Counter()) == Counter({"chat begun": 1})


async def test_an_application_is_tested_with_a_client_of_its_test(
    valkey_url: str, valkey: Redis
) -> None:
    """An override replaces the client."""
    app = shop(logcommon.connect("redis://127.0.0.1:1"))
    async with logcommon.connect(valkey_url) as log, client_of(app) as client:
        app.dependency_overrides[get_log] = lambda: log
        await client.get("/top/tea")
        assert log.stats.counted == 1


async def test_without_the_middleware_the_error_says_what_to_add(valkey_url: str) -> None:
    """Without the middleware there is no client in the scope."""
    log = logcommon.connect(valkey_url)
    async with log, client_of(shop(log, middleware=False)) as client:
        with pytest.raises(RuntimeError, match=r"no client: app\.add_middleware\(CommonLogM"):
            await client.get("/top/tea")
