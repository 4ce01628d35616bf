"""Responses, as the aiohttp middleware counts them, and that they pass unchanged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path

import pytest
from aiohttp import ClientError, web
from aiohttp.typedefs import Handler
from redis.asyncio import Redis

import logcommon
import logcommon.integrations.aiohttp as middleware_module
from logcommon.integrations.aiohttp import common_log_middleware, setup
from support.aiohttp import BROKEN, app_of, broken, counted, echo, fine, install, running
from support.clock import HandClock
from support.web import Counts, place_of


async def test_responses_by_method_route_and_status(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """The response that the client receives counts, whether returned, raised or made by aiohttp."""

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
    model: Counts = {"info": Counter(), "warning": Counter(), "error": Counter()}
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
    """The template has the prefixes of all its applications; unknown paths have no route."""
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
    """The status of a file is known only when it is sent: 206, 304, 404 or 416."""
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
    """A stream counts when it ends, or as the exception that interrupts it."""

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
            [f"GET /stream {BROKEN}", f"GET /generated KeyError at {place_of(chunks, 2)}"]
        ),
    }


async def test_the_host_sees_what_it_would_without_us(log: logcommon.CommonLog) -> None:
    """The same response or exception passes, and context variables are visible on both sides."""
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
    """A hundred requests that are in their handlers at once are counted exactly."""
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
    """A request over the threshold is also counted as slow, however it ends.

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
