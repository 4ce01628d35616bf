"""The ASGI middleware, in applications of Starlette, FastAPI and none, on a real server."""

import asyncio
import logging
import socket
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import logcommon
from logcommon.integrations import asgi, requests
from logcommon.integrations.asgi import CommonLogMiddleware, lifespan
from logcommon.runtime import ending
from support.clock import HandClock
from support.layout import read_counts
from support.until import until

Message = dict[str, Any]
Counts = dict[str, Counter[str]]
App = Callable[..., Awaitable[None]]
SEVERITIES = ("info", "warning", "error")


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    """Close what middleware with a URL has opened, as the end of a process does."""
    yield
    ending.close_all()


@pytest.fixture
async def log(valkey_url: str) -> AsyncIterator[logcommon.CommonLog]:
    """A client, open."""
    async with logcommon.connect(valkey_url) as log:
        yield log


async def counted(log: logcommon.CommonLog, valkey: Redis, name: str = "web") -> Counts:
    """Return what Redis counts for each severity that has something, in all hours together."""
    await log.flush()
    stats = log.stats
    assert stats.calls == stats.counted + stats.other + stats.dropped
    found = {severity: await read_counts(valkey, name, severity) for severity in SEVERITIES}
    return {severity: sum(hours.values(), Counter()) for severity, hours in found.items() if hours}


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


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def bug(request: Request) -> Response:
    raise ValueError("of secret text")


FILE = f"{__name__.replace('.', '/')}.py"
BUG = f"ValueError at {FILE}:{bug.__code__.co_firstlineno + 1}"


def shop(*routes: BaseRoute, log: logcommon.CommonLog, **settings: object) -> Starlette:
    """Return an application of Starlette with the middleware."""
    app = Starlette(routes=routes)
    app.add_middleware(CommonLogMiddleware, log=log, **settings)
    return app


# --- Routes


async def ask(app: App, *requests: str) -> None:
    """Send requests, each a method and a path."""
    async with client_of(app) as client:
        for request in requests:
            await client.request(*request.split())


async def test_responses_are_counted_by_method_template_and_status(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """Paths are told apart by route alone, and what clients make up is no message."""
    app = shop(
        Route("/orders/{order:int}", hello),
        Route("/file/{path:path}", hello),
        Route("/slash/", hello),
        log=log,
    )
    await ask(app, "GET /orders/1", "GET /orders/2?a=b", "HEAD /orders/3", "DELETE /orders/4")
    await ask(app, "GET /orders/one", "GET /no/such/path", "GET /file/a/b/c", "GET /slash")
    await ask(app, "BREW /orders/1", "BREAK /orders/1")
    assert await counted(log, valkey) == {
        "info": Counter(
            {
                "GET /orders/{order} 200": 2,
                "HEAD /orders/{order} 200": 1,
                "GET /file/{path} 200": 1,
                "GET <no route> 307": 1,
            }
        ),
        "warning": Counter(
            {
                "DELETE /orders/{order} 405": 1,
                "<other method> /orders/{order} 405": 2,
                "GET <no route> 404": 2,
            }
        ),
    }


async def test_a_mounted_route_has_its_whole_template(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """The prefixes of mounts belong to it, as templates, and nothing below a mount is a path."""
    inner = Starlette(routes=[Route("/same/{id}", hello)])
    app = shop(
        Mount("/{id}/plain", app=StaticFiles(directory="/nonexistent", check_dir=False)),
        Mount("/{id}", routes=[Route("/{id}", hello), Mount("/deep", inner)]),
        Mount("", routes=[Route("/", hello)]),
        log=log,
    )
    await ask(app, "GET /x/y", "GET /y/x", "GET /deep/deep/same/deep", "GET /a/b/c/d", "GET /")
    assert await counted(log, valkey) == {
        "info": Counter(
            {"GET /{id}/{id} 200": 2, "GET /{id}/deep/same/{id} 200": 1, "GET / 200": 1}
        ),
        "warning": Counter({"GET /{id}/{path} 404": 1}),
    }


async def test_a_host_is_no_part_of_the_template(log: logcommon.CommonLog, valkey: Redis) -> None:
    """Routes under a host are found, through mounts as well."""
    under = Mount("/api", routes=[Route("/orders/{id}", hello)])
    app = shop(Host("{name}.test", Starlette(routes=[under, Route("/top", hello)])), log=log)
    await ask(app, "GET /api/orders/1", "GET /top", "GET /none")
    assert await counted(log, valkey) == {
        "info": Counter({"GET /api/orders/{id} 200": 1, "GET /top 200": 1}),
        "warning": Counter({"GET <no route> 404": 1}),
    }


def fastapi_shop() -> FastAPI:
    """Return an application that has each kind of route that FastAPI knows."""
    inner, router, sub, app = APIRouter(), APIRouter(prefix="/own"), FastAPI(), FastAPI()

    @inner.get("/inner/{id}")
    @router.get("/orders/{id}")
    @sub.get("/sub/{id}")
    @app.get("/top/{id}")
    async def order(id: int) -> int:  # noqa: A002
        return id

    router.include_router(inner, prefix="/in")
    router.mount("/within", Starlette(routes=[Route("/{id}", hello)]))
    sub.include_router(router, prefix="/again")
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2/{tenant}")
    app.add_route("/another/{id}", hello)
    app.add_route("/plain/{id}", hello)
    app.mount("/mounted/{tenant}", sub)
    app.mount("/static", StaticFiles(directory="/nonexistent", check_dir=False))
    return app


FASTAPI_PATHS = {
    "/top/1": "/top/{id} 200",
    "/top/one": "/top/{id} 422",
    "/v1/own/orders/1": "/v1/own/orders/{id} 200",
    "/v2/me/own/orders/1": "/v2/{tenant}/own/orders/{id} 200",
    "/v1/own/in/inner/1": "/v1/own/in/inner/{id} 200",
    "/v2/me/within/1": "/v2/{tenant}/within/{id} 200",
    "/plain/1": "/plain/{id} 200",
    "/docs": "/docs 200",
    "/mounted/me/sub/1": "/mounted/{tenant}/sub/{id} 200",
    "/mounted/me/again/own/orders/1": "/mounted/{tenant}/again/own/orders/{id} 200",
    "/mounted/me/docs": "/mounted/{tenant}/docs 200",
    "/mounted/me/none": "/mounted/{tenant}/{path} 404",
    "/none": "<no route> 404",
}


@pytest.mark.parametrize("root", ["", "/proxy"])
async def test_templates_of_fastapi(log: logcommon.CommonLog, valkey: Redis, root: str) -> None:
    """Included routers and mounted applications too; a proxy's prefix is no part of them."""
    app = CommonLogMiddleware(fastapi_shop(), log)
    transport = httpx.ASGITransport(app, root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        for path in FASTAPI_PATHS:
            await client.get(root + path)
    messages = await counted(log, valkey)
    assert sum(messages.values(), Counter()) == Counter(
        f"GET {message}" for message in FASTAPI_PATHS.values()
    )


async def test_a_middleware_inside_a_mount(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A mounted application that counts for itself counts what a client asks for."""
    sub = shop(Route("/orders/{id}", hello), log=log, service="sub")
    app = shop(Mount("/api/{version}", sub), Route("/top", hello), log=log)
    await ask(app, "GET /api/v1/orders/1", "GET /top")
    whole = "GET /api/{version}/orders/{id} 200"
    assert await counted(log, valkey, "sub") == {"info": Counter({whole: 1})}
    assert await counted(log, valkey) == {"info": Counter({whole: 1, "GET /top 200": 1})}


async def respond(send: App, status: int = 200, *, more_body: bool = False) -> None:
    """Begin a response, and end it unless there is more to come."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": more_body})


async def test_templates_of_other_frameworks(log: logcommon.CommonLog, valkey: Redis) -> None:
    """What Litestar or an application itself leaves in the scope counts; else there is no route."""

    async def app(scope: Message, receive: App, send: App) -> None:
        scope |= LEFT[scope["path"]]
        await respond(send)

    await ask(CommonLogMiddleware(app, log), *(f"GET {path}" for path in LEFT))
    assert await counted(log, valkey) == {
        "info": Counter({"GET /orders/{id:int} 200": 1, "GET <no route> 200": 4})
    }


LEFT: dict[str, Message] = {
    "/template": {"path_template": "/orders/{id:int}"},
    "/nothing": {},
    "/text": {"route": "of another kind", "router": "of another kind"},
    "/wrong": {"path_template": 1},
    "/mount": {"app_root_path": "", "root_path": "/mount", "router": Starlette().router},
}


# --- What is sent passes unchanged


async def test_a_stream_is_not_held_back(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A client has each chunk before the next is made, and it counts after the last one."""
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
    """A path handed to the server ends the response."""

    async def app(scope: Message, receive: App, send: App) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.pathsend", "path": "/tmp/file"})  # noqa: S108
        assert log.stats.calls == 1

    async def nothing(*_: object) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/"}
    await CommonLogMiddleware(app, log)(scope, nothing, nothing)
    assert await counted(log, valkey) == {"info": Counter({"GET <no route> 200": 1})}


async def test_messages_are_the_same_objects(log: logcommon.CommonLog) -> None:
    """What the application receives is what the server gave, and the other way round."""
    request, sent = {"type": "http.request"}, []
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
    """Context variables set outside are seen inside, and those set inside are seen outside."""
    outside, inside = ContextVar("outside", default=0), ContextVar("inside", default=0)
    tasks: list[object] = []

    async def endpoint(request: Request) -> Response:
        assert outside.get() == 1
        inside.set(2)
        tasks.append(asyncio.current_task())
        return Response()

    app = shop(Route("/", endpoint), log=log)

    async def around(*arguments: object) -> None:
        outside.set(1)
        await app(*arguments)
        assert inside.get() == 2
        tasks.append(asyncio.current_task())

    await ask(around, "GET /")
    assert tasks[0] is tasks[1] is not None


async def test_background_tasks_run(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A background task runs after its response was counted; what it raises counts besides."""

    async def background() -> None:
        assert log.stats.calls == 1
        raise KeyError

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("x", background=BackgroundTask(background))

    async with client_of(shop(Route("/", endpoint), log=log)) as client:
        with pytest.raises(KeyError):
            await client.get("/")
    place = f"{FILE}:{background.__code__.co_firstlineno + 2}"
    assert await counted(log, valkey) == {
        "info": Counter({"GET / 200": 1}),
        "error": Counter({f"GET / KeyError at {place}": 1}),
    }


# --- Exceptions


@pytest.mark.parametrize("outermost", [True, False])
async def test_an_exception_counts_once_and_is_raised_on(
    log: logcommon.CommonLog, valkey: Redis, outermost: bool
) -> None:
    """It counts in place of the 500 that it leads to, wherever the middleware stands."""
    routes = [Route("/bug/{id}", bug)]
    if outermost:
        app: App = CommonLogMiddleware(Starlette(routes=routes), log)
    else:
        app = shop(*routes, log=log)
    async with client_of(app, raises=False) as client:
        assert (await client.get("/bug/1")).status_code == 500
    assert await counted(log, valkey) == {"error": Counter({f"GET /bug/{{id}} {BUG}": 1})}


async def test_an_exception_is_not_touched(log: logcommon.CommonLog) -> None:
    """The same object comes out, with one frame of ours in its traceback and no context."""
    error = ValueError()

    async def app(*_: object) -> None:
        raise error

    scope = {"type": "http", "method": "GET", "path": "/"}
    with pytest.raises(ValueError, match=r"^$") as raised:
        await CommonLogMiddleware(app, log, choose=lambda _: 1 / 0)(scope, app, app)
    assert raised.value is error
    assert error.__context__ is error.__cause__ is None
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    assert files == [__file__, asgi.__file__, __file__]


async def test_an_exception_in_a_begun_response(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A response that breaks off is not one."""

    async def broken(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await bug(request)

        return StreamingResponse(chunks())

    async with client_of(shop(Route("/", broken), log=log), raises=False) as client:
        await client.get("/")
    assert await counted(log, valkey) == {"error": Counter({f"GET / {BUG}": 1})}


async def test_a_response_of_5xx_is_an_error(log: logcommon.CommonLog, valkey: Redis) -> None:
    """One that the application sends counts as it is, also where a background task is cancelled."""

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
    """Without a response it is the server's 500; one begun counts by its status."""

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


# --- Slow requests


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch, clock: HandClock) -> HandClock:
    """The clock of the middleware, turned by hand."""
    monkeypatch.setattr(asgi, "monotonic", clock)
    return clock


async def test_slow_requests_count_once_more(
    log: logcommon.CommonLog, valkey: Redis, time: HandClock
) -> None:
    """What takes longer than the threshold does, whatever becomes of it; its background doesn't."""

    async def later() -> None:
        time.now += 100

    async def endpoint(request: Request) -> Response:
        time.now += float(request.path_params["seconds"])
        if "bug" in request.query_params:
            await bug(request)
        return PlainTextResponse("x", background=BackgroundTask(later))

    app = shop(Route("/{seconds}", endpoint), log=log, slow_after=2)
    async with client_of(app, raises=False) as client:
        for path in ("/0", "/2", "/2.5", "/3?bug", "/1?bug"):
            await client.get(path)
    assert await counted(log, valkey) == {
        "info": Counter({"GET /{seconds} 200": 3}),
        "warning": Counter({"GET /{seconds} slow": 2}),
        "error": Counter({f"GET /{{seconds}} {BUG}": 2}),
    }


async def test_a_slow_stream_counts_while_it_lasts(
    log: logcommon.CommonLog, valkey: Redis, time: HandClock
) -> None:
    """It is slow as soon as something is sent after the time, once; or else at its end."""

    async def app(scope: Message, receive: App, send: App) -> None:
        await send({"type": "http.response.start", "status": 200})
        calls = log.stats.calls
        for seconds, seen in ((2, 0), (1, 1), (5, 1)):
            time.now += seconds
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            assert log.stats.calls - calls == (seen if scope["path"] == "/some" else 0)
        await send({"type": "http.response.body"})

    async def late(scope: Message, receive: App, send: App) -> None:
        await send({"type": "http.response.start", "status": 200})
        time.now += 3
        await send({"type": "http.response.body"})

    async def silent(*_: object) -> None:
        time.now += 3

    scope = {"type": "http", "method": "GET", "path": "/"}
    await CommonLogMiddleware(silent, log, slow_after=2)(scope, silent, silent)
    await ask(CommonLogMiddleware(app, log, slow_after=2), "GET /some")
    await ask(CommonLogMiddleware(late, log, slow_after=2), "GET /late")
    await ask(CommonLogMiddleware(app, log, slow_after=None), "GET /none")
    assert await counted(log, valkey) == {
        "info": Counter({"GET <no route> 200": 3}),
        "warning": Counter({"GET <no route> slow": 3}),
        "error": Counter({"GET <no route> 500": 1}),
    }


# --- Clients that go away


async def test_a_client_that_leaves_a_stream(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A closed connection ends the stream, and counts in place of the response."""

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
    """The exception with which Starlette says so is not the application's."""

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
    """Receive until the server says that the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def told(scope: Message, receive: App, send: App) -> None:
    """An application that is told that the client has gone, and answers all the same."""
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
    """Hypercorn's order: the listener is told, and the task that sends is cancelled."""
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
    """Told by the server, cancelled, or unable to send: once, and a bug after it is still a bug."""

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


# --- Websockets


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
    """By either side's code, refused by the status, or ended by a bug."""
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
    assert raised.startswith(f"{template} ValueError at {FILE}:")
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
    """An application that returns without closing it has ended it in order."""

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
    """One that broke off has no code; a framework's exception on being told is not a bug."""

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
    """Both sides may close it; however long it was open, it is not slow."""

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


# --- The application's choice


async def test_choose_decides(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It sees all that is known, names, rates and phrases it, or has nothing logged."""
    seen: list[requests.Request] = []

    def choose(request: requests.Request) -> requests.LogCall | None:
        seen.append(request)
        if request.route == "/health":
            return None
        return requests.LogCall("other", f"{request.method} took part", "warning")

    app = shop(Route("/health", hello), Route("/", hello), log=log, choose=choose)
    await ask(app, "GET /", "GET /health")
    assert await counted(log, valkey, "other") == {"warning": Counter({"GET took part": 1})}
    assert await counted(log, valkey) == {}
    assert [(each.event, each.service, each.route, each.status) for each in seen] == [
        ("response", "web", "/", 200),
        ("response", "web", "/health", 200),
    ]
    assert (seen[0].error, caplog.records) == (None, [])
    assert 0 <= seen[0].seconds <= seen[1].seconds + 60


@pytest.mark.parametrize("chosen", [lambda _: 1 / 0, lambda _: ("",) * 2, lambda _: 1])
async def test_a_choice_that_fails_harms_nobody(
    log: logcommon.CommonLog,
    caplog: pytest.LogCaptureFixture,
    chosen: Callable[[requests.Request], Any],
) -> None:
    """The response is sent, nothing is logged, and one warning says so without the text."""
    async with client_of(shop(Route("/", hello), log=log, choose=chosen)) as client:
        for _ in range(3):
            assert (await client.get("/")).text == "hello"
    assert log.stats.calls == 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("logcommon", logging.WARNING)
    assert record.message.startswith("a request was not counted: ")
    assert "zero" not in record.message


# --- The client


async def test_many_at_once_are_exact(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A hundred requests at the same time, five times over, each counted once."""

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


@pytest.mark.parametrize("entered", [True, False])
async def test_without_redis_every_response_is_sent(entered: bool) -> None:
    """Nothing listens, or the client was never opened: it is kept, and nobody waits."""
    log = logcommon.connect("redis://127.0.0.1:1", drain_timeout=0)
    app = Starlette(routes=[Route("/", hello)], lifespan=lifespan(log) if entered else None)
    app.add_middleware(CommonLogMiddleware, log=log)
    async with served(app) as port, httpx.AsyncClient() as client:
        for _ in range(5):
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
        assert (log.stats.calls, log.stats.pending) == (5, 5)
    assert log.stats.dropped == (5 if entered else 0)


async def test_the_lifespan_owns_the_client(valkey_url: str, valkey: Redis) -> None:
    """The client is open from before the startup till after the shutdown, and drained then."""
    log = logcommon.connect(valkey_url, linger=3600)

    @asynccontextmanager
    async def inner(app: Starlette) -> AsyncIterator[dict[str, str]]:
        await log.log_common("web", "starting")
        yield {"database": "of the application"}
        await log.log_common("web", "stopping")

    async def state(request: Request) -> Response:
        return PlainTextResponse(request.state.database)

    app = Starlette(routes=[Route("/", state)], lifespan=lifespan(log, inner))
    app.add_middleware(CommonLogMiddleware, log=log)
    async with served(app) as port, httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/")
    assert response.text == "of the application"
    assert log.stats.counted == log.stats.calls == 3
    found = await read_counts(valkey, "web")
    assert sum(found.values(), Counter()) == Counter({"starting": 1, "stopping": 1, "GET / 200": 1})
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()


async def test_with_a_url_nothing_need_be_opened(valkey_url: str, valkey: Redis) -> None:
    """In a mounted application, which sees no lifespan; handlers may wait, and read, as ever."""

    async def order(request: Request) -> Response:
        client: logcommon.CommonLog = request.scope["logcommon"]
        await client.log_common("shop", "order taken")
        return PlainTextResponse(str(await client.top("shop")))

    inner = shop(Route("/orders/{id}", order), log=valkey_url, service="shop", linger=0)
    app = Starlette(routes=[Mount("/", inner)])
    async with served(app) as port, httpx.AsyncClient() as client:
        first, *_ = [await client.get(f"http://127.0.0.1:{port}/orders/{n}") for n in range(20)]
    assert first.text == "[CommonRow(count=1, message='order taken')]"

    async def all_there() -> bool:
        return await messages_of(valkey, "shop") == {"GET /orders/{id} 200": 20, "order taken": 20}

    await until(all_there)


async def messages_of(valkey: Redis, name: str) -> "Counter[str]":
    """Return what Redis counts for a service, in all hours together."""
    return sum((await read_counts(valkey, name)).values(), Counter())


async def test_with_a_url_the_lifespan_ends_when_it_is_written(
    valkey_url: str, valkey: Redis
) -> None:
    """Redis has it all once the server is told that the shutdown is complete."""
    sent: list[str] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(events)}

    async def send(message: Message) -> None:
        sent.append(message["type"])
        if sent[-1] == "lifespan.shutdown.complete":
            assert await messages_of(valkey, "shop") == {"GET / 200": 3}

    app = CommonLogMiddleware(
        Starlette(routes=[Route("/", hello)]), valkey_url, service="shop", linger=3600
    )
    await ask(app, "GET /")
    await until(lambda: messages_of(valkey, "shop"))
    await ask(app, "GET /", "GET /")  # the next commit is an hour away
    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_with_a_url_and_without_redis_every_response_is_sent() -> None:
    """Nobody waits for the thread, and the lifespan no longer than a drain may take."""
    app = Starlette(routes=[Route("/", hello)])
    app.add_middleware(CommonLogMiddleware, log="redis://127.0.0.1:1", drain_timeout=0)
    async with served(app) as port, httpx.AsyncClient() as client:
        for _ in range(5):
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"


async def test_with_a_url_settings_are_those_of_connect(valkey_url: str) -> None:
    """They are checked at once; a client has its own."""
    app = Starlette()
    with pytest.raises(logcommon.InvalidArgumentError, match="linger must be"):
        CommonLogMiddleware(app, valkey_url, linger=-1)
    with pytest.raises(logcommon.InvalidArgumentError, match="give linger there"):
        CommonLogMiddleware(app, logcommon.connect(valkey_url), linger=1)
    with pytest.raises(logcommon.InvalidArgumentError, match="needs no lifespan"):
        lifespan(valkey_url)


async def test_a_client_that_is_not_open_is_warned_of_once(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning says what to do; what was counted meanwhile is written once it opens."""
    log = logcommon.connect(valkey_url)
    app = shop(Route("/", hello), log=log)
    await ask(app, "GET /", "GET /", "GET /")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("logcommon", logging.WARNING)
    assert "open it when the application starts" in record.message
    assert "lifespan=lifespan(log)" in record.message
    async with log:
        await ask(app, "GET /")
        assert await counted(log, valkey) == {"info": Counter({"GET / 200": 4})}
    assert len(caplog.records) == 1


async def test_a_startup_that_fails_closes_the_client(valkey_url: str) -> None:
    """The application's own fault comes out as it is."""
    log = logcommon.connect(valkey_url)

    @asynccontextmanager
    async def inner(app: object) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    with pytest.raises(ValueError, match="no database"):
        async with lifespan(log, inner)(None):
            raise AssertionError
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()


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
