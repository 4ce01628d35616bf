"""Applications for the tests of the aiohttp middleware, and a server for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler
from redis.asyncio import Redis

from logcommon.integrations.aiohttp import setup
from support.clock import NOON
from support.layout import read_counts
from support.web import SEVERITIES, Counts, place_of

install = partial(setup, slow_after=None)  # anything may be slow on a busy machine


async def counted(valkey: Redis, name: str = "web") -> Counts:
    """Return what is counted, all of it at noon, for each severity that has something."""
    found = {severity: await read_counts(valkey, name, severity) for severity in SEVERITIES}
    assert {hour for counts in found.values() for hour in counts} <= {NOON}
    return {severity: counts[NOON] for severity, counts in found.items() if counts}


@asynccontextmanager
async def running(
    app: web.Application,
) -> AsyncIterator["TestClient[web.Request, web.Application]"]:
    """Serve an application until the block ends."""
    async with TestClient(TestServer(app)) as client:
        yield client


async def fine(_: web.Request) -> web.Response:
    return web.Response(text="fine")


async def echo(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for message in response:
        await response.send_str(message.data)
    return response


async def broken(_: web.Request) -> web.Response:
    raise ValueError("secret")


BROKEN = f"ValueError at {place_of(broken, 1)}"
"""How the exception that `broken` raises is counted."""


def app_of(**handlers: Handler) -> web.Application:
    """Return an application with handlers at paths of their names, for every method."""
    app = web.Application()
    for name, handler in handlers.items():
        app.router.add_route("*", f"/{name}", handler)
    return app
