"""Clients that go away and handlers that are cancelled, as the aiohttp middleware counts them."""

import asyncio
import socket
import struct
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.aiohttp import common_log_middleware
from support.aiohttp import BROKEN, app_of, broken, counted, echo, fine, install, running
from support.until import until
from support.web import place_of

BIG = b"x" * 20_000_000
"""More than the sockets of a connection hold."""


HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


@pytest.mark.parametrize("cancels", [False, True])
async def test_clients_that_go_away(
    log: logcommon.CommonLog, valkey: Redis, tmp_path: Path, cancels: bool
) -> None:
    """A client that disconnects is counted as such at every stage of a request.

    With `handler_cancellation` aiohttp cancels the handler, as it does without the middleware.
    Otherwise the handler runs to its end, though nobody receives the response.
    """
    entered, gone = asyncio.Event(), asyncio.Event()
    requests: list[web.Request] = []
    cancellations = 0

    @web.middleware
    async def enters(request: web.Request, handler: Handler) -> web.StreamResponse:
        requests.append(request)
        entered.set()
        return await handler(request)

    async def waits(_: web.Request) -> web.Response:
        nonlocal cancellations
        try:
            await gone.wait()
        except asyncio.CancelledError:
            cancellations += 1
            raise
        return web.Response()

    async def refuses(request: web.Request) -> web.Response:
        await waits(request)
        raise web.HTTPConflict

    async def reads(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def streams(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(BIG)

    async def big(_: web.Request) -> web.Response:
        return web.Response(body=BIG)

    async def file(_: web.Request) -> web.FileResponse:
        return web.FileResponse(path)

    path = tmp_path / "big"
    path.write_bytes(BIG)
    handlers = [waits, refuses, reads, streams, big, file, echo]
    app = app_of(**{handler.__name__: handler for handler in handlers})
    app.middlewares.append(enters)
    install(app, log)
    heads: dict[Handler, str] = {reads: "Content-Length: 9\r\n", echo: HANDSHAKE}
    async with running(app) as client:
        client.server.handler.handler_cancellation = cancels
        for handler in handlers:
            entered.clear()
            gone.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            head = f"GET /{handler.__name__} HTTP/1.1\r\nHost: a\r\n{heads.get(handler, '')}\r\n"
            writer.write(head.encode())
            await entered.wait()
            if handler in (streams, big, file):
                await reader.read(1)
            writer.transport.abort()
            await until(lambda: requests[-1].transport is None)
            gone.set()
            await until(lambda: log.stats.calls == len(requests))
    assert cancellations == 2 * cancels
    messages = [f"GET /{handler.__name__} client disconnected" for handler in handlers[:-1]]
    assert await counted(valkey) == {
        "info": Counter([*messages, "WEBSOCKET /echo client disconnected"])
    }


async def test_what_is_raised_to_a_client_that_has_gone(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """A failed write is a disconnect, even before aiohttp notices; other exceptions still count."""
    clients: list[socket.socket] = []

    def abort() -> None:
        clients[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients[-1].close()

    async def writes(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        abort()
        while True:  # all in one turn of the loop
            assert request.transport is not None
            await response.write(b"a")

    async def fails(request: web.Request) -> web.Response:
        abort()
        await until(lambda: request.transport is None)
        return await broken(request)

    app = app_of(writes=writes, fails=fails)
    install(app, log)
    async with running(app) as server:
        server.server.handler.handler_cancellation = False
        for name in ("writes", "fails"):
            clients.append(socket.create_connection(("127.0.0.1", server.port)))
            clients[-1].sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await until(lambda: log.stats.calls == len(clients))
    assert await counted(valkey) == {
        "info": Counter(["GET /writes client disconnected"]),
        "error": Counter([f"GET /fails {BROKEN}"]),
    }


async def test_a_request_that_is_cancelled_while_its_client_waits(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """A time-out within the application is no disconnect: the response that it leads to counts.

    Middleware for time limits cancels the handler, or runs it in a task of its own.
    """

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if "task" in request.query:
                return await asyncio.ensure_future(handler(request))
            async with asyncio.timeout(0):
                return await handler(request)
        except TimeoutError:
            raise web.HTTPGatewayTimeout from None

    async def waits(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    inside = common_log_middleware(log, service="inside", slow_after=None)

    async def streams(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        return response

    app = app_of(waits=waits, fine=fine, streams=streams)
    app.middlewares.extend([limited, inside])
    install(app, log)
    async with running(app) as client:
        assert (await client.get("/waits")).status == 504
        assert (await client.get("/fine?task")).status == 200
        assert (await client.get("/streams?task")).status == 200
    assert await counted(valkey) == {
        "info": Counter(["GET /fine 200", "GET /streams 200"]),
        "error": Counter(["GET /waits 504"]),
    }
    assert await counted(valkey, "inside") == {
        "info": Counter(["GET /fine 200", "GET /streams 200"]),
        "error": Counter([f"GET /waits CancelledError at {place_of(waits, 1)}"]),
    }


async def test_requests_that_the_end_cuts_off(log: logcommon.CommonLog, valkey: Redis) -> None:
    """Requests that aiohttp cancels at `shutdown_timeout` count as disconnects."""
    entered = asyncio.Barrier(11)

    async def waits(_: web.Request) -> web.Response:
        await entered.wait()
        await asyncio.Event().wait()
        raise AssertionError

    app = app_of(waits=waits)
    install(app, log)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        asking = [asyncio.create_task(session.get("/waits")) for _ in range(10)]
        await entered.wait()
        await runner.cleanup()
        await asyncio.gather(*asking, return_exceptions=True)
    assert await counted(valkey) == {"info": Counter({"GET /waits client disconnected": 10})}
