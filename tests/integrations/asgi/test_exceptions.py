"""Exceptions and missing responses, as the ASGI middleware counts them."""

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import logcommon
from logcommon.integrations import asgi, requests
from logcommon.integrations.asgi import CommonLogMiddleware
from support.asgi import BUG, App, Message, bug, client_of, respond, served, shop
from support.web import counted


@pytest.mark.parametrize("outermost", [True, False])
async def test_an_exception_counts_once_and_is_raised_on(
    log: logcommon.CommonLog, valkey: Redis, outermost: bool
) -> None:
    """It is counted instead of the 500 that it causes, inside or outside of Starlette."""
    routes = [Route("/bug/{id}", bug)]
    if outermost:
        app: App = CommonLogMiddleware(Starlette(routes=routes), log)
    else:
        app = shop(*routes, log=log)
    async with client_of(app, raises=False) as client:
        assert (await client.get("/bug/1")).status_code == 500
    assert await counted(log, valkey) == {"error": Counter({f"GET /bug/{{id}} {BUG}": 1})}


async def test_an_exception_is_not_touched(log: logcommon.CommonLog) -> None:
    """The same exception is raised, with one frame of ours in its traceback and no context."""
    error = ValueError()

    async def app(*_: object) -> None:
        raise error

    def choose(request: requests.Request) -> requests.LogCall:
        raise ZeroDivisionError

    scope = {"type": "http", "method": "GET", "path": "/"}
    with pytest.raises(ValueError, match=r"^$") as raised:
        await CommonLogMiddleware(app, log, choose=choose)(scope, app, app)
    assert raised.value is error
    assert error.__context__ is error.__cause__ is None
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    assert files == [__file__, asgi.__file__, __file__]


async def test_an_exception_in_a_begun_response(log: logcommon.CommonLog, valkey: Redis) -> None:
    """An incomplete response is not counted as a response."""

    async def broken(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await bug(request)

        return StreamingResponse(chunks())

    async with client_of(shop(Route("/", broken), log=log), raises=False) as client:
        await client.get("/")
    assert await counted(log, valkey) == {"error": Counter({f"GET / {BUG}": 1})}


async def test_a_response_of_5xx_is_an_error(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A 5xx of the application counts by its status, even if its background task is cancelled."""

    async def cancel() -> None:
        raise asyncio.CancelledError

    async def unavailable(request: Request) -> Response:
        background = BackgroundTask(cancel) if "cancel" in request.query_params else None
        return Response(status_code=503, background=background)

    async with client_of(shop(Route("/", unavailable), log=log)) as client:
        await client.get("/")
        with pytest.raises(asyncio.CancelledError):
            await client.get("/?cancel")
    assert await counted(log, valkey) == {"error": Counter({"GET / 503": 2})}


@pytest.mark.parametrize("begun", [False, True])
async def test_an_application_that_does_not_answer(
    log: logcommon.CommonLog, valkey: Redis, begun: bool
) -> None:
    """If no response was started, the server's 500 counts; otherwise the status that was sent."""

    async def app(scope: Message, receive: App, send: App) -> None:
        if begun:
            await respond(send, 203, more_body=True)

    async with (
        served(CommonLogMiddleware(app, log), lifespan="off") as port,
        httpx.AsyncClient() as client,
    ):
        try:
            response = await client.get(f"http://127.0.0.1:{port}/")
            assert response.status_code == 500
        except httpx.RemoteProtocolError:
            assert begun
    message = "GET <no route> 203" if begun else "GET <no route> 500"
    assert await counted(log, valkey) == {"info" if begun else "error": Counter({message: 1})}
