"""Clients that go away, as the ASGI middleware counts them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware
from support.asgi import BUG, App, Message, bug, respond, served, shop
from support.until import until
from support.web import Counts, counted


async def test_a_client_that_leaves_a_stream(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A closed connection ends the stream, and is counted instead of the response."""

    async def endless(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.001)

        return StreamingResponse(chunks())

    async with served(shop(Route("/stream", endless), log=log)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await until(lambda: log.stats.calls == 1)
    assert await counted(log, valkey) == {"info": Counter({"GET /stream client disconnected": 1})}


async def test_a_client_that_leaves_its_upload(log: logcommon.CommonLog, valkey: Redis) -> None:
    """Starlette's ClientDisconnect does not count as an exception of the application."""

    async def upload(request: Request) -> Response:
        return PlainTextResponse(await request.body())

    app = shop(Route("/upload", upload, methods=["POST"]), log=log)
    async with served(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /upload HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9\r\n\r\nbegun")
        await writer.drain()
        writer.transport.abort()
        await until(lambda: log.stats.calls == 1)
    assert await counted(log, valkey) == {"info": Counter({"POST /upload client disconnected": 1})}


async def until_gone(receive: App) -> None:
    """Receive until the server reports a disconnect."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def told(scope: Message, receive: App, send: App) -> None:
    """An application that responds although the server has reported a disconnect."""
    await until_gone(receive)
    await until_gone(receive)
    await respond(send)


async def told_and_buggy(scope: Message, receive: App, send: App) -> None:
    await until_gone(receive)
    await bug(Request(scope))


async def told_in_a_task_group(scope: Message, receive: App, send: App) -> None:
    await until_gone(receive)
    raise ExceptionGroup("", [ClientDisconnect(), ClientDisconnect()])


async def cancelled(scope: Message, receive: App, send: App) -> None:
    raise asyncio.CancelledError


async def cannot_send(scope: Message, receive: App, send: App) -> None:
    with pytest.raises(BrokenPipeError):
        await send({"type": "broken"})
    await send({"type": "broken"})


async def told_after_the_response(scope: Message, receive: App, send: App) -> None:
    await respond(send)
    await until_gone(receive)


async def told_while_the_last_message_is_sent(scope: Message, receive: App, send: App) -> None:
    """As under Hypercorn: one task receives the disconnect while another, then cancelled, sends."""
    begun = asyncio.Event()

    async def last() -> None:
        begun.set()
        await send({"type": "http.response.body", "slow": True})

    await send({"type": "http.response.start", "status": 200})
    sending = asyncio.create_task(last())
    await begun.wait()
    await until_gone(receive)
    sending.cancel()


GONE = Counter({"GET <no route> client disconnected": 1})


@pytest.mark.parametrize(
    ("app", "raised", "expected"),
    [
        (told, None, {"info": GONE}),
        (
            told_and_buggy,
            ValueError,
            {"info": GONE, "error": Counter({f"GET <no route> {BUG}": 1})},
        ),
        (told_in_a_task_group, ExceptionGroup, {"info": GONE}),
        (cancelled, asyncio.CancelledError, {"info": GONE}),
        (cannot_send, BrokenPipeError, {"info": GONE}),
        (told_after_the_response, None, {"info": Counter({"GET <no route> 200": 1})}),
        (told_while_the_last_message_is_sent, None, {"info": Counter({"GET <no route> 200": 1})}),
    ],
)
async def test_every_way_to_learn_that_a_client_has_gone(
    log: logcommon.CommonLog,
    valkey: Redis,
    app: App,
    raised: type[BaseException] | None,
    expected: Counts,
) -> None:
    """A disconnect counts once, however it is noticed; an exception after it counts too."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "broken":
            raise BrokenPipeError
        if "slow" in message:
            await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/"}
    serving = CommonLogMiddleware(app, log)(scope, receive, send)
    if raised is None:
        await serving
    else:
        with pytest.raises(raised):
            await serving
    assert await counted(log, valkey) == expected
