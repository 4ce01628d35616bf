"""Applications for the tests of the ASGI middleware, and ways to call them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware
from logcommon.runtime import ending
from support.until import until
from support.web import place_of

Message: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[..., Awaitable[Any]]
"""An application, or what it is called with: `receive` and `send`."""


def client_of(app: App, *, raises: bool = True) -> httpx.AsyncClient:
    """Return a client that calls an application without a server in between."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
    return httpx.AsyncClient(transport=transport, base_url="http://shop.test")


@asynccontextmanager
async def served(app: App, *, lifespan: Literal["auto", "off"] = "auto") -> AsyncIterator[int]:
    """Serve an application with uvicorn in this event loop, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", ws="websockets-sansio", lifespan=lifespan)
        )

        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started or serving.done())
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving
            # This process goes on, so later tests must not write as if it were about to end.
            ending._STATE.write_at_once_until = 0.0


async def ask(app: App, *requests: str) -> None:
    """Send requests, each a method and a path."""
    async with client_of(app) as client:
        for request in requests:
            await client.request(*request.split())


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def bug(request: Request) -> Response:
    raise ValueError("of secret text")


BUG = f"ValueError at {place_of(bug, 1)}"
"""How the exception that `bug` raises is counted."""


def shop(*routes: BaseRoute, log: logcommon.CommonLog | str, **settings: Any) -> Starlette:
    """Return an application of Starlette with the middleware."""
    app = Starlette(routes=routes)
    app.add_middleware(CommonLogMiddleware, log=log, **settings)
    return app


async def respond(send: App, status: int = 200, *, more_body: bool = False) -> None:
    """Start a response, and complete it unless `more_body` says otherwise."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": more_body})


async def scope_after(app: App, method: str, path: str, **more: object) -> Message:
    """Return the scope of a request, or of a websocket, as the application has left it."""
    scope: Message = {
        "type": "websocket" if method == "WEBSOCKET" else "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"shop.test")],
        "root_path": "",
        **more,
    }

    async def receive() -> Message:
        return {"type": "websocket.connect" if method == "WEBSOCKET" else "http.request"}

    async def send(_: Message) -> None: ...

    await app(scope, receive, send)
    return scope
