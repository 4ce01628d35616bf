"""Websockets, as the ASGI middleware counts them."""

from collections import Counter

import pytest
from redis.asyncio import Redis
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware
from support.asgi import App, Message, served, shop
from support.clock import HandClock
from support.until import until
from support.web import counted, place_of


async def chat(websocket: WebSocket) -> None:
    """Accept, and do what each message says."""
    if websocket.path_params["room"] == "closed":
        await websocket.close()
        return
    if websocket.path_params["room"] == "denied":
        await websocket.send_denial_response(Response(status_code=401))
        return
    if websocket.path_params["room"] == "silent":
        return

    await websocket.accept()
    while (text := await websocket.receive_text()) != "end":
        if text.isdigit():
            await websocket.close(int(text))
            return
        if text == "bug":
            raise ValueError
        await websocket.send_text(f"{text}!")
    await websocket.receive()


async def test_websockets_count_by_how_they_are_closed(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """By the code of whichever side closes it, by the status of a refusal, or by an exception."""
    app = shop(Mount("/chat", routes=[WebSocketRoute("/{room}", chat)]), log=log)
    async with served(app) as port:
        url = f"ws://127.0.0.1:{port}/chat"

        async def say(text: str) -> None:
            async with connect(f"{url}/open") as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "hello!"
                await websocket.send(text)
                with pytest.raises(ConnectionClosed):
                    await websocket.recv()

        for text in ("1000", "4000", "1011", "bug"):
            await say(text)
        for room, status in (("closed", 403), ("denied", 401), ("silent", 500), ("a/b", 403)):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}/{room}")
            assert refused.value.response.status_code == status
        async with connect(f"{url}/open") as websocket:
            await websocket.close(4001)
        await until(lambda: log.stats.calls == 9)
    template = "WEBSOCKET /chat/{room}"
    errors = await counted(log, valkey)
    (raised,) = [message for message in errors["error"] if "ValueError" in message]
    assert raised.startswith(f"{template} ValueError at {place_of(chat, 0).partition(':')[0]}:")
    assert errors == {
        "info": Counter({f"{template} {code}": 1 for code in (1000, 4000, 4001)}),
        "warning": Counter(
            {f"{template} 401": 1, f"{template} 403": 1, "WEBSOCKET /chat/{path} 403": 1}
        ),
        "error": Counter({f"{template} 1011": 1, f"{template} 500": 1, raised: 1}),
    }


async def test_a_websocket_that_is_left_open_is_closed_by_the_server(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """If the application returns without closing it, the server closes it with 1000."""

    async def app(scope: Message, receive: App, send: App) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    async def nothing(*_: object) -> Message:
        return {"type": "websocket.connect"}

    await CommonLogMiddleware(app, log)({"type": "websocket", "path": "/"}, nothing, nothing)
    assert await counted(log, valkey) == {"info": Counter({"WEBSOCKET <no route> 1000": 1})}


@pytest.mark.parametrize(
    ("code", "said"), [(1000, 1000), (1005, 1005), (1006, "client disconnected")]
)
async def test_a_websocket_that_the_client_leaves(
    log: logcommon.CommonLog, valkey: Redis, code: int, said: object
) -> None:
    """A lost connection is a disconnect; the framework's exception for it is not counted."""

    async def app(scope: Message, receive: App, send: App) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        raise WebSocketDisconnect(code)

    async def end(*_: object) -> Message:
        return {"type": "websocket.disconnect", "code": code}

    with pytest.raises(WebSocketDisconnect):
        await CommonLogMiddleware(app, log)({"type": "websocket", "path": "/"}, end, end)
    assert await counted(log, valkey) == {"info": Counter({f"WEBSOCKET <no route> {said}": 1})}


async def test_a_websocket_counts_once(
    log: logcommon.CommonLog, valkey: Redis, time: HandClock
) -> None:
    """It counts once if both sides close it, and never as slow."""

    async def app(scope: Message, receive: App, send: App) -> None:
        await send({"type": "websocket.accept"})
        time.now += 1000
        await receive()
        await send({"type": "websocket.close"})
        await receive()

    async def end(*_: object) -> Message:
        return {"type": "websocket.disconnect", "code": 1001}

    async def first(scope: Message, receive: App, send: App) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})
        await receive()

    for each in (app, first):
        await CommonLogMiddleware(each, log)({"type": "websocket", "path": "/"}, end, end)
    assert await counted(log, valkey) == {
        "info": Counter({"WEBSOCKET <no route> 1001": 1, "WEBSOCKET <no route> 4000": 1})
    }
