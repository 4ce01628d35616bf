"""What the application sends and receives passes the ASGI middleware unchanged."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextvars import ContextVar

import httpx
import pytest
from redis.asyncio import Redis
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware
from support.asgi import App, Message, ask, client_of, served, shop
from support.web import counted, place_of


async def test_a_stream_is_not_held_back(log: logcommon.CommonLog, valkey: Redis) -> None:
    """The client receives each chunk before the next is made; the last one counts."""
    received = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        await received.wait()
        assert log.stats.calls == 0
        yield b"two"

    async def stream(request: Request) -> Response:
        return StreamingResponse(chunks())

    async with (
        served(shop(Route("/stream", stream), log=log)) as port,
        httpx.AsyncClient() as client,
        client.stream("GET", f"http://127.0.0.1:{port}/stream") as response,
    ):
        body = response.aiter_raw()
        assert await anext(body) == b"one"
        received.set()
        assert [chunk async for chunk in body] == [b"two"]
    assert await counted(log, valkey) == {"info": Counter({"GET /stream 200": 1})}


async def test_a_file_that_the_server_sends_is_a_response(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """A response is complete when the server is given the path of a file."""

    async def app(scope: Message, receive: App, send: App) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.pathsend", "path": "/tmp/file"})  # noqa: S108
        assert log.stats.calls == 1

    async def nothing(*_: object) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/"}
    await CommonLogMiddleware(app, log)(scope, nothing, nothing)
    assert await counted(log, valkey) == {"info": Counter({"GET <no route> 200": 1})}


async def test_messages_are_the_same_objects(log: logcommon.CommonLog) -> None:
    """Neither side is given copies."""
    request, sent = {"type": "http.request"}, list[Message]()
    start, body = {"type": "http.response.start", "status": 200}, {"type": "http.response.body"}

    async def receive() -> Message:
        return request

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Message, receive: App, send: App) -> None:
        assert scope is given
        assert await receive() is request
        await send(start)
        await send(body)

    given = {"type": "http", "method": "GET", "path": "/"}
    await CommonLogMiddleware(app, log)(given, receive, send)
    assert [id(message) for message in sent] == [id(start), id(body)]


async def test_the_application_runs_in_the_same_task(log: logcommon.CommonLog) -> None:
    """Context variables that are set outside are visible inside, and the other way round."""
    outside, inside = ContextVar("outside", default=0), ContextVar("inside", default=0)
    tasks: list[object] = []

    async def endpoint(request: Request) -> Response:
        assert outside.get() == 1
        inside.set(2)
        tasks.append(asyncio.current_task())
        return Response()

    app = shop(Route("/", endpoint), log=log)

    async def around(scope: Message, receive: App, send: App) -> None:
        outside.set(1)
        await app(scope, receive, send)
        assert inside.get() == 2
        tasks.append(asyncio.current_task())

    await ask(around, "GET /")
    assert tasks[0] is tasks[1] is not None


async def test_background_tasks_run(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A background task runs after its response was counted; an exception of it is counted too."""

    async def background() -> None:
        assert log.stats.calls == 1
        raise KeyError

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("x", background=BackgroundTask(background))

    async with client_of(shop(Route("/", endpoint), log=log)) as client:
        with pytest.raises(KeyError):
            await client.get("/")
    assert await counted(log, valkey) == {
        "info": Counter({"GET / 200": 1}),
        "error": Counter({f"GET / KeyError at {place_of(background, 2)}": 1}),
    }


async def test_other_scopes_are_left_alone(log: logcommon.CommonLog) -> None:
    """The application gets the server's own callables, and nothing is added to the scope."""
    scopes: list[Message] = [{"type": "lifespan"}, {"type": "of the future"}]

    async def app(scope: Message, receive: App, send: App) -> None:
        assert scope.keys() == {"type"}
        assert receive is given
        assert send is given
        raise ZeroDivisionError

    async def given(*_: object) -> None: ...

    for scope in scopes:
        with pytest.raises(ZeroDivisionError):
            await CommonLogMiddleware(app, log)(scope, given, given)
    assert log.stats.calls == 0


async def test_many_at_once_are_exact(log: logcommon.CommonLog, valkey: Redis) -> None:
    """Each of five times a hundred concurrent requests counts once."""

    async def slow_hello(request: Request) -> Response:
        await asyncio.sleep(0)
        return PlainTextResponse("x")

    app = shop(Route("/a/{id}", slow_hello), Route("/b/{id}", slow_hello), log=log)
    async with (
        served(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for _ in range(5):
            await asyncio.gather(*(client.get(f"/{'ab'[n % 2]}/{n}") for n in range(100)))
    assert await counted(log, valkey) == {
        "info": Counter({"GET /a/{id} 200": 250, "GET /b/{id} 200": 250})
    }


def test_it_imports_no_framework() -> None:
    """It needs neither Starlette nor FastAPI."""
    program = (
        "import sys, logcommon.integrations.asgi;"
        "print(sys.modules.keys() & {'starlette', 'fastapi', 'uvicorn', 'litestar', 'quart'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "set()\n"
