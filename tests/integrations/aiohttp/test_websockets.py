"""Websockets, as the aiohttp middleware counts them."""

from collections import Counter

import pytest
from aiohttp import WSCloseCode, WSMsgType, WSServerHandshakeError, web
from redis.asyncio import Redis

import logcommon
from support.aiohttp import app_of, counted, echo, install, running
from support.web import place_of


async def test_websockets(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A websocket counts once, when it is over, by the code that closed it."""

    async def closed_by_us(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.close(code=WSCloseCode.TRY_AGAIN_LATER)
        return response

    async def forgotten(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        return response  # aiohttp closes it then

    async def failing(request: web.Request) -> web.WebSocketResponse:
        await web.WebSocketResponse().prepare(request)
        raise ValueError

    async def refused(_: web.Request) -> web.Response:
        raise web.HTTPForbidden

    app = app_of(
        echo=echo, closed_by_us=closed_by_us, forgotten=forgotten, failing=failing, refused=refused
    )
    install(app, log)
    async with running(app) as client:
        async with client.ws_connect("/echo") as visitor:
            await visitor.send_str("a")
            assert await visitor.receive_str() == "a"
            assert log.stats.calls == 0
        await (await client.ws_connect("/echo")).close(code=4000)
        async with client.ws_connect("/echo", autoclose=False) as visitor:
            await visitor._writer.send_frame(b"", WSMsgType.CLOSE)  # a browser's close()
            await visitor.receive()
        async with client.ws_connect("/closed_by_us", autoclose=False) as visitor:
            assert (await visitor.receive()).data == 1013
            await visitor.close(code=1013)  # as a browser answers
        for path in ("/forgotten", "/failing"):
            await (await client.ws_connect(path)).receive()
        with pytest.raises(WSServerHandshakeError):
            await client.ws_connect("/refused")
        assert (await client.get("/echo")).status == 400
    assert await counted(valkey) == {
        "info": Counter(
            [
                "WEBSOCKET /echo 1000",
                "WEBSOCKET /echo 4000",
                "WEBSOCKET /echo 1005",
                "WEBSOCKET /closed_by_us 1013",
                "WEBSOCKET /forgotten 1000",
            ]
        ),
        "warning": Counter(["WEBSOCKET /refused 403", "GET /echo 400"]),
        "error": Counter([f"WEBSOCKET /failing ValueError at {place_of(failing, 2)}"]),
    }
