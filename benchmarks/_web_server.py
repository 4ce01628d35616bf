"""The server processes of `web.py`: `python _web_server.py FRAMEWORK VARIANT URL PORT`."""

import sys
from collections.abc import Awaitable, Callable

import redis.asyncio
import uvicorn
from aiohttp import web
from aiohttp.typedefs import Handler
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from _peers import log_by_listing
from logcommon.integrations.aiohttp import setup
from logcommon.integrations.asgi import CommonLogMiddleware

SERVICE = "ours"
_ROUTE = "/orders/{order_id}"
_MESSAGE = f"GET {_ROUTE} %d"


class Empty:
    """Middleware that does nothing: what any costs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        await self._app(scope, receive, send)


def fastapi_app(variant: str, url: str) -> FastAPI:
    """Return a FastAPI application with what a variant adds."""
    app = FastAPI()

    @app.get(_ROUTE)
    async def order(order_id: int) -> dict[str, int]:
        return {"order": order_id}

    if variant == "ours":
        app.add_middleware(CommonLogMiddleware, log=url, service=SERVICE)
    if variant == "empty":
        app.add_middleware(Empty)
    if variant == "listing":
        connections = redis.asyncio.Redis.from_url(url)

        @app.middleware("http")
        async def listing(
            request: Request, call_next: Callable[[Request], Awaitable[Response]]
        ) -> Response:
            response = await call_next(request)
            await log_by_listing(connections.pipeline(), _MESSAGE % response.status_code)
            return response

    return app


def aiohttp_app(variant: str, url: str) -> web.Application:
    """Return an aiohttp application with what a variant adds."""
    app = web.Application()

    async def order(request: web.Request) -> web.Response:
        return web.json_response({"order": int(request.match_info["order_id"])})

    app.router.add_get(_ROUTE, order)
    if variant == "ours":
        setup(app, url, service=SERVICE)
    if variant == "empty":

        @web.middleware
        async def empty(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await handler(request)

        app.middlewares.append(empty)
    if variant == "listing":
        connections = redis.asyncio.Redis.from_url(url)

        @web.middleware
        async def listing(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            await log_by_listing(connections.pipeline(), _MESSAGE % response.status)
            return response

        app.middlewares.append(listing)
    return app


def main(framework: str, variant: str, url: str, port: str) -> None:
    """Serve until terminated, without access logs, on one process."""
    if framework == "fastapi":
        uvicorn.run(fastapi_app(variant, url), port=int(port), log_level="error", access_log=False)
    else:
        web.run_app(aiohttp_app(variant, url), port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
