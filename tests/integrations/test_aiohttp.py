"""The middleware for aiohttp: what becomes of requests is counted, and nothing else changes.

Servers and clients are aiohttp's own, over real sockets; what counts is what the Valkey has then.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from aiohttp import ClientError, ClientSession, WSCloseCode, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler
from redis.asyncio import Redis

import logcommon
import logcommon.integrations.aiohttp as middleware_module
from logcommon.integrations.aiohttp import LOG, common_log_middleware, setup
from logcommon.integrations.requests import LogCall, Request, default_choice
from support.clock import NOON, HandClock
from support.layout import read_counts
from support.proxy import Proxy
from support.servers import valkey_server
from support.until import until

install = partial(setup, slow_after=None)  # what else is slow on a busy machine is nobody's guess

Severities = dict[str, Counter[str]]
BIG = b"x" * 20_000_000
"""More than the sockets of a connection hold."""


async def counted(valkey: Redis, name: str = "web") -> Severities:
    """Return what is counted, all of it at noon, for each severity that has something."""
    severities = ("debug", "info", "warning", "error", "critical")
    found = {severity: await read_counts(valkey, name, severity) for severity in severities}
    assert {hour for counts in found.values() for hour in counts} <= {NOON}
    return {severity: counts[NOON] for severity, counts in found.items() if counts}


@asynccontextmanager
async def running(
    app: web.Application,
) -> AsyncIterator["TestClient[web.Request, web.Application]"]:
    """Serve an application until the block ends."""
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
def log(valkey_url: str, clock: HandClock) -> logcommon.CommonLog:
    """A client for an application to open."""
    return logcommon.connect(valkey_url, clock=clock)


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


def place(function: Callable[..., object], line: int) -> str:
    """Return how the place of a line of a function is counted."""
    return f"{__name__.replace('.', '/')}.py:{function.__code__.co_firstlineno + line}"


BROKEN = f"ValueError at {place(broken, 1)}"


def app_of(**handlers: Handler) -> web.Application:
    """Return an application with handlers at paths of their names, for every method."""
    app = web.Application()
    for name, handler in handlers.items():
        app.router.add_route("*", f"/{name}", handler)
    return app


async def test_responses_by_method_route_and_status(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """Returned or raised, of a handler or of aiohttp itself: what the client got is counted."""

    async def order(request: web.Request) -> web.Response:
        wanted = int(request.match_info["status"])
        if request.method == "POST":
            raise {
                302: web.HTTPFound("/"),
                404: web.HTTPNotFound(),
                500: web.HTTPInternalServerError(),
            }[wanted]
        return web.Response(status=wanted)

    async def nothing(_: web.Request) -> None:
        pass

    app = app_of(broken=broken, nothing=nothing)  # type: ignore[arg-type]  # a bug of the host
    app.router.add_get("/orders/{status:\\d+}", order)
    app.router.add_post("/orders/{status:\\d+}", order)
    install(app, log)
    model: Severities = {"info": Counter(), "warning": Counter(), "error": Counter()}
    async with running(app) as client:

        async def ask(method: str, path: str, status: int, severity: str, message: str) -> None:
            async with client.request(method, path, allow_redirects=False) as response:
                assert response.status == status
            model[severity][message] += 1

        template = "/orders/{status}"
        for method, status, severity in [
            ("GET", 200, "info"),
            ("HEAD", 200, "info"),
            ("GET", 201, "info"),
            ("POST", 302, "info"),
            ("POST", 404, "warning"),
            ("GET", 429, "warning"),
            ("POST", 500, "error"),
            ("GET", 503, "error"),
        ]:
            await ask(
                method, f"/orders/{status}", status, severity, f"{method} {template} {status}"
            )
        async with client.get("/orders/200", headers={"Upgrade": "h2c", "Connection": "Upgrade"}):
            model["info"][f"GET {template} 200"] += 1  # as it has nothing to do with websockets
        await ask("GET", "/orders/made/up", 404, "warning", "GET <no route> 404")
        await ask("DELETE", "/orders/1", 405, "warning", "DELETE <no route> 405")
        await ask("GET", "/broken", 500, "error", f"GET /broken {BROKEN}")
        await ask("GET", "/nothing", 500, "error", "GET /nothing 500")
    assert await counted(valkey) == model


async def test_routes_of_sub_applications(log: logcommon.CommonLog, valkey: Redis) -> None:
    """The template has the prefixes of all applications on the way; made-up paths have no route."""
    app, api, admin = web.Application(), web.Application(), web.Application()
    admin.router.add_get("/users/{name}", fine)
    api.router.add_get("/{rest:.*}", fine)
    api.add_subapp("/admin", admin)
    app.add_subapp("/api", api)
    install(app, log)
    async with running(app) as client:
        for path in ("/api/admin/users/ada", "/api/admin/users/bob", "/api/admin/what", "/api/a/b"):
            await client.get(path)
    messages = Counter({"GET /api/admin/users/{name} 200": 2, "GET /api/{rest} 200": 1})
    assert await counted(valkey) == {
        "info": messages,
        "warning": Counter({"GET <no route> 404": 1}),
    }


async def test_files(log: logcommon.CommonLog, valkey: Redis, tmp_path: Path) -> None:
    """What aiohttp finds only when it sends a file is the status: 206, 304, 404 and 416."""
    (tmp_path / "a.txt").write_text("text")

    async def missing(_: web.Request) -> web.FileResponse:
        return web.FileResponse(tmp_path / "missing")

    app = app_of(missing=missing)
    app.router.add_static("/static", tmp_path)
    install(app, log)
    async with running(app) as client:
        tag = (await client.get("/static/a.txt")).headers["ETag"]
        await client.get("/static/a.txt", headers={"Range": "bytes=1-2"})
        await client.get("/static/a.txt", headers={"If-None-Match": tag})
        await client.get("/static/a.txt", headers={"Range": "bytes=9-"})
        await client.get("/static/b.txt")
        await client.get("/missing")
    static = "GET /static"
    assert await counted(valkey) == {
        "info": Counter(f"{static} {status}" for status in (200, 206, 304)),
        "warning": Counter([f"{static} 416", f"{static} 404", "GET /missing 404"]),
    }


async def test_streams(log: logcommon.CommonLog, valkey: Redis) -> None:
    """What a handler sends itself or has generated counts when it ends, or as what broke it off."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=202)
        await response.prepare(request)
        await response.write(b"a")
        if "broken" in request.query:
            await broken(request)
        return response

    async def generated(_: web.Request) -> web.Response:
        return web.Response(body=chunks())

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError

    app = app_of(stream=stream, generated=generated)
    install(app, log)
    async with running(app) as client:
        assert await (await client.get("/stream")).read() == b"a"
        for path in ("/stream?broken", "/generated"):
            with pytest.raises(ClientError):
                await (await client.get(path)).read()
    assert await counted(valkey) == {
        "info": Counter({"GET /stream 202": 1}),
        "error": Counter(
            [f"GET /stream {BROKEN}", f"GET /generated KeyError at {place(chunks, 2)}"]
        ),
    }


async def test_the_host_sees_what_it_would_without_us(log: logcommon.CommonLog) -> None:
    """The very response or exception passes, and context variables go in and come out."""
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    response, error = web.Response(), ValueError("secret")
    refusal = web.HTTPForbidden()
    seen: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(variable.get())
        variable.set("inside")
        if "raise" in request.query:
            raise {"error": error, "refusal": refusal}[request.query["raise"]]
        return response

    @web.middleware
    async def witness(request: web.Request, handler: Handler) -> web.StreamResponse:
        variable.set("outside")
        try:
            passed = await handler(request)
        except Exception as raised:
            seen.extend([raised, variable.get()])
            raise
        seen.extend([passed, variable.get()])
        return passed

    app = web.Application(middlewares=[witness, common_log_middleware(log, slow_after=None)])
    app.router.add_get("/", handler)
    async with log, running(app) as client:
        assert (await client.get("/?raise=error")).status == 500
        assert (await client.get("/?raise=refusal")).status == 403
        assert (await client.get("/")).status == 200
    expected = [("outside", passed, "inside") for passed in (error, refusal, response)]
    assert seen == [each for one in expected for each in one]
    assert error.__cause__ is error.__context__ is None
    assert log.stats.calls == log.stats.counted == 3


async def test_many_requests_at_the_same_time(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A hundred requests that are all in their handlers at once, answered in four ways."""
    everybody = asyncio.Barrier(100)

    async def order(request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        await everybody.wait()
        if number % 4 == 1:
            raise web.HTTPNotFound
        if number % 4 == 2:
            await broken(request)
        return web.Response(status=201 if number % 4 == 3 else 200)

    app = web.Application()
    app.router.add_get("/orders/{number}", order)
    install(app, log)
    async with running(app) as client:
        answers = await asyncio.gather(*(client.get(f"/orders/{number}") for number in range(100)))
    assert Counter(answer.status for answer in answers) == dict.fromkeys([200, 201, 404, 500], 25)
    assert await counted(valkey) == {
        "info": Counter({"GET /orders/{number} 200": 25, "GET /orders/{number} 201": 25}),
        "warning": Counter({"GET /orders/{number} 404": 25}),
        "error": Counter({f"GET /orders/{{number}} {BROKEN}": 25}),
    }


async def test_slow_requests(
    log: logcommon.CommonLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that took longer than the threshold counts as slow besides, however it ended.

    What counts is the time until the last byte is sent, and that of a websocket does not count.
    """
    watch = HandClock()
    monkeypatch.setattr(middleware_module, "monotonic", watch)

    async def order(request: web.Request) -> web.Response:
        watch.now += float(request.query["seconds"])
        return await {"fine": fine, "broken": broken}[request.match_info["end"]](request)

    async def sent_slowly(_: web.Request) -> web.Response:
        return web.Response(body=chunks())

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        watch.now += 2

    async def lasting(request: web.Request) -> web.WebSocketResponse:
        watch.now += 2
        return await echo(request)

    app = app_of(sent_slowly=sent_slowly, lasting=lasting)
    app.router.add_get("/orders/{end}", order)
    setup(app, log, slow_after=1.5)
    async with running(app) as client:
        for path in ("fine?seconds=1.5", "fine?seconds=2", "broken?seconds=3"):
            await client.get(f"/orders/{path}")
        await (await client.get("/sent_slowly")).read()
        await (await client.ws_connect("/lasting")).close()
    assert await counted(valkey) == {
        "info": Counter(
            {"GET /orders/{end} 200": 2, "GET /sent_slowly 200": 1, "WEBSOCKET /lasting 1000": 1}
        ),
        "warning": Counter({"GET /orders/{end} slow": 2, "GET /sent_slowly slow": 1}),
        "error": Counter({f"GET /orders/{{end}} {BROKEN}": 1}),
    }


async def test_websockets(log: logcommon.CommonLog, valkey: Redis) -> None:
    """Counted once, when it is over, by the code with which either side closed it."""

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
        "error": Counter([f"WEBSOCKET /failing ValueError at {place(failing, 2)}"]),
    }


HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


@pytest.mark.parametrize("cancels", [False, True])
async def test_clients_that_go_away(
    log: logcommon.CommonLog, valkey: Redis, tmp_path: Path, cancels: bool
) -> None:
    """Wherever a request has got to, that its client is gone is what is counted of it.

    With `handler_cancellation` aiohttp cancels the handler, which sees it as it would without us;
    without, the handler goes on, and fails or succeeds to nobody.
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
    heads = {reads: "Content-Length: 9\r\n", echo: HANDSHAKE}
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
    """Failing to write to it is a disconnect, even before aiohttp sees it; a bug stays a bug."""
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
    """It is no disconnect: what cancelled it is in the application, and what that answers counts.

    Middlewares that put a time limit on those inside do that, also by handling it in another task.
    """

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if "task" in request.query:
                return await asyncio.create_task(handler(request))
            async with asyncio.timeout(0):
                return await handler(request)
        except TimeoutError:
            raise web.HTTPGatewayTimeout from None

    async def waits(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    inside = common_log_middleware(log, service="inside", slow_after=None)
    app = app_of(waits=waits, fine=fine)
    app.middlewares.extend([limited, inside])
    install(app, log)
    async with running(app) as client:
        assert (await client.get("/waits")).status == 504
        assert (await client.get("/fine?task")).status == 200
    assert await counted(valkey) == {
        "info": Counter(["GET /fine 200"]),
        "error": Counter(["GET /waits 504"]),
    }
    assert await counted(valkey, "inside") == {
        "info": Counter(["GET /fine 200"]),
        "error": Counter([f"GET /waits CancelledError at {place(waits, 1)}"]),
    }


async def test_responses_do_not_wait_for_redis(tmp_path: Path, clock: HandClock) -> None:
    """With a Redis that is down all is as with one that is up, and it is counted afterwards."""
    with valkey_server(tmp_path) as server:
        port = server.port
        server.terminate()
        app = app_of(fine=fine, broken=broken)
        log = logcommon.connect(f"redis://127.0.0.1:{port}", clock=clock)
        install(app, log)
        async with running(app) as client:
            for _ in range(20):
                assert await (await client.get("/fine")).text() == "fine"
                assert (await client.get("/broken")).status == 500
            await until(lambda: log.stats.failures > 0)
            assert (log.stats.calls, log.stats.counted) == (40, 0)
            server.start()
            await log.flush()
        async with Redis(port=port) as valkey:
            assert await counted(valkey) == {
                "info": Counter({"GET /fine 200": 20}),
                "error": Counter({f"GET /broken {BROKEN}": 20}),
            }


async def test_a_redis_that_hangs_holds_up_no_response(
    proxy: Proxy, valkey: Redis, clock: HandClock
) -> None:
    """Connections to it are made and not answered: what was counted is written when it goes on."""
    proxy.gate.clear()
    app = app_of(fine=fine)
    log = logcommon.connect(proxy.url, clock=clock)
    install(app, log)
    async with running(app) as client:
        for _ in range(20):
            assert (await client.get("/fine")).status == 200
        assert (log.stats.calls, log.stats.counted) == (20, 0)
        proxy.gate.set()
    assert await counted(valkey) == {"info": Counter({"GET /fine 200": 20})}


async def test_the_application_chooses(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Name, message and severity may be any, and None counts nothing; the facts are all there."""
    seen: list[Request] = []

    def chosen(request: Request) -> LogCall | None:
        seen.append(request)
        if request.status == 200:
            return None
        return LogCall(f"{request.service}-{request.event}", f"{request.status}", "critical")

    app = app_of(fine=fine, broken=broken)
    install(app, log, service="shop", choose=chosen)
    async with running(app) as client:
        for path in ("/fine", "/broken", "/none"):
            await client.get(path)
    assert await counted(valkey, "shop-exception") == {"critical": Counter(["None"])}
    assert await counted(valkey, "shop-response") == {"critical": Counter(["404"])}
    facts = [(each.event, each.method, each.route, each.status) for each in seen]
    assert facts == [
        ("response", "GET", "/fine", 200),
        ("exception", "GET", "/broken", None),
        ("response", "GET", "<no route>", 404),
    ]
    assert [str(each.error) for each in seen] == ["None", "secret", "None"]
    assert not [record for record in caplog.records if record.name == "logcommon"]


async def test_choosing_that_fails_harms_no_request(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """What raises or chooses nonsense has nothing counted, all else as ever, and one warning."""

    def chosen(request: Request) -> LogCall:
        if request.event == "exception":
            return cast("LogCall", ("web", 5))
        if request.status == 404:
            raise KeyError("secret")
        return default_choice(request)

    app = app_of(fine=fine, broken=broken)
    install(app, log, choose=chosen)
    async with running(app) as client:
        for path, status in {"/none": 404, "/broken": 500, "/fine": 200}.items():
            assert (await client.get(path)).status == status
    assert await counted(valkey) == {"info": Counter(["GET /fine 200"])}
    ours = [record.getMessage() for record in caplog.records if record.name == "logcommon"]
    (warning,) = ours
    assert warning.endswith(f"choosing what to log raised KeyError at {place(chosen, 4)}")


async def test_with_a_url_the_application_has_a_client(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """Opened before it starts, closed when it has ended; the settings are those of `connect`."""
    app = web.Application()

    async def order(request: web.Request) -> web.Response:
        await request.app[LOG].log_common("web", "order taken")
        return web.Response()

    app.router.add_get("/orders/{id}", order)
    install(app, valkey_url, clock=clock, linger=3600)
    async with running(app) as client:
        for number in range(5):
            await client.get(f"/orders/{number}")
    assert await counted(valkey) == {"info": Counter({"GET /orders/{id} 200": 5, "order taken": 5})}
    with pytest.raises(logcommon.InvalidArgumentError, match="give linger there"):
        install(web.Application(), logcommon.connect(valkey_url), linger=1)
    with pytest.raises(logcommon.InvalidArgumentError, match="connect, not str"):
        common_log_middleware(valkey_url)


async def test_a_client_that_is_not_open_is_warned_of_once(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A middleware alone opens nothing; what it counts is written once somebody does."""
    app = web.Application(middlewares=[common_log_middleware(log)])
    async with running(app) as client:
        for _ in range(3):
            await client.get("/")
        records = [record for record in caplog.records if record.name == "logcommon"]
        assert ["open it when the application starts" in each.message for each in records] == [True]
        async with log:
            pass
    assert await counted(valkey) == {"warning": Counter({"GET <no route> 404": 3})}


async def test_what_is_logged_while_the_application_ends(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """The client is open before all else and until all else is cleaned up, in every application."""
    app, below = web.Application(), web.Application()

    async def at_start_and_end(_: web.Application) -> AsyncIterator[None]:
        await log.log_common("web", "started")
        yield
        await log.log_common("web", "cleaned up")

    async def at_end(_: web.Application) -> None:
        await log.log_common("web", "ended")

    async def order(request: web.Request) -> web.Response:
        await request.config_dict[LOG].log_common("web", "ordered")
        return web.Response()

    for each in (app, below):
        each.cleanup_ctx.append(at_start_and_end)
        each.on_shutdown.append(at_end)
        each.on_cleanup.append(at_end)
        each.router.add_get("/order", order)
    install(app, log)
    app.add_subapp("/below", below)
    app.on_cleanup.append(at_end)
    async with running(app) as client:
        assert app[LOG] is log
        for path in ("/order", "/below/order"):
            await client.get(path)
    model = Counter({"started": 2, "cleaned up": 2, "ended": 5, "ordered": 2})
    model.update(["GET /order 200", "GET /below/order 200"])
    assert await counted(valkey) == {"info": model}
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()


async def test_an_application_that_does_not_start(log: logcommon.CommonLog) -> None:
    """Where another start fails, what aiohttp then cleans up includes the client."""

    async def fails(_: web.Application) -> None:
        raise KeyError

    app = web.Application()
    app.on_startup.append(fails)
    install(app, log)
    runner = web.AppRunner(app)
    with pytest.raises(KeyError):
        await runner.setup()
    await app.cleanup()
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()


async def test_an_application_that_is_frozen_before_it_starts(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """As one below another is, or one that starts a second time: its client is closed as well."""
    app, below = web.Application(), app_of(fine=fine)
    install(below, log)
    app.add_subapp("/below", below)
    for _ in range(2):
        async with running(app) as client:
            await client.get("/below/fine")
        assert log.stats.pending == 0
    assert await counted(valkey) == {"info": Counter({"GET /below/fine 200": 2})}


async def test_requests_that_the_end_cuts_off(log: logcommon.CommonLog, valkey: Redis) -> None:
    """Those still in their handlers when aiohttp's patience is over count as lost clients do."""
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
