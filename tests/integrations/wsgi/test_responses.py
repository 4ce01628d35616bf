"""What the WSGI middleware counts of requests, and that they pass unchanged."""

import inspect
import io
from collections import Counter
from collections.abc import Iterable
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

from flask import Flask, Response, abort
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.wsgi import CommonLogMiddleware
from support.clock import HandClock
from support.web import counted
from support.wsgi import BODY, ROUTE, Environ, Server, Start, plain, server, streaming

FILE = f"{__name__.replace('.', '/')}.py"


def flask_shop() -> Flask:
    """Return an application with a route for each kind of response."""
    app = Flask(__name__)

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        return str(number)

    @app.get("/stream")
    def stream() -> Response:
        return Response(str(number) for number in range(3))

    @app.get("/gone")
    def gone() -> Response:
        abort(410)

    @app.get("/bug")
    def bug() -> str:
        raise ValueError("of secret text")

    @app.get("/handled")
    def handled() -> str:
        raise KeyError

    @app.errorhandler(KeyError)
    def handle(error: Exception) -> tuple[str, int]:
        return "handled", 503

    return app


LINES, FIRST = inspect.getsourcelines(flask_shop)


(LINE,) = [number for number, line in enumerate(LINES, FIRST) if "raise ValueError" in line]


BUG = f"ValueError at {FILE}:{LINE}"


async def test_flask_is_counted_by_rule_status_and_exception(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """Exceptions that Flask answers with 500 count by type and place, unknown paths as no route."""
    app = flask_shop()
    shop = server(app.wsgi_app, log)
    for request in ("/orders/1", "/orders/2", "/stream", "/gone", "/bug", "/handled", "/no/such"):
        shop.ask(f"GET {request}")
    shop.ask("HEAD /orders/1")
    shop.ask("POST /orders/1")
    shop.ask("BREW /orders/1")

    assert await counted(log, valkey) == {
        "info": Counter(
            {
                "GET /orders/<int:number> 200": 2,
                "HEAD /orders/<int:number> 200": 1,
                "GET /stream 200": 1,
            }
        ),
        "warning": Counter(
            {
                "GET /gone 410": 1,
                "GET <no route> 404": 1,
                "POST <no route> 405": 1,
                "<other method> <no route> 405": 1,
            }
        ),
        "error": Counter({f"GET /bug {BUG}": 1, "GET /handled 503": 1}),
    }


async def test_the_middleware_keeps_to_the_protocol(log: logcommon.CommonLog) -> None:
    """The standard library's validator finds nothing on either side of it."""
    for app in (plain, streaming):
        shop = Server(validator(CommonLogMiddleware(validator(app), log)))
        assert shop.ask("GET /", QUERY_STRING="", SCRIPT_NAME="") == b"ab"
    assert log.stats.calls == 2


async def test_a_list_and_a_file_are_the_servers_to_send(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """They are counted and pass unchanged, so the server can send a length or use sendfile."""
    file = FileWrapper(io.BytesIO(b"of a file"))

    def sending(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ |= ROUTE
        start_response("200 OK", [])
        return file

    assert server(plain, log).call("GET /") is BODY
    assert server(sending, log).call("GET /", **{"wsgi.file_wrapper": FileWrapper}) is file
    assert await counted(log, valkey) == {"info": Counter({"GET /it 200": 2})}


async def test_a_stream_counts_when_it_is_closed(log: logcommon.CommonLog, valkey: Redis) -> None:
    """The server gets the application's own chunks, each made on demand."""
    body: Any = server(streaming, log).call("GET /")
    assert list(body) == BODY
    assert all(map(lambda chunk, own: chunk is own, body, BODY))
    assert log.stats.calls == 0
    body.close()
    body.close()
    assert await counted(log, valkey) == {"info": Counter({"GET /it 200": 1})}


async def test_a_body_that_can_not_be_closed(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A `close` is optional: without one the response still counts when the server is done."""

    def mapped(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ |= ROUTE
        start_response("200 OK", [])
        return map(bytes.lower, BODY)

    assert server(mapped, log).ask("GET /") == b"ab"
    assert await counted(log, valkey) == {"info": Counter({"GET /it 200": 1})}


async def test_a_stream_that_is_closed_early_lost_its_client(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """It is a disconnect, except for HEAD, for which a server need not read the body."""
    for method in ("GET", "HEAD"):
        body: Any = server(streaming, log).call(f"{method} /")
        next(body)
        body.close()
    assert await counted(log, valkey) == {
        "info": Counter({"GET /it client disconnected": 1, "HEAD /it 200": 1})
    }


async def test_a_slow_request_counts_once_more(
    log: logcommon.CommonLog, valkey: Redis, time: HandClock
) -> None:
    """It counts as slow once, while it is streamed or at its end."""

    def slow(environ: Environ, start_response: Start) -> Iterable[bytes]:
        time.now += 2
        return plain(environ, start_response)

    body: Any = server(streaming, log).call("GET /")
    next(body)
    time.now += 2
    next(body)
    assert log.stats.calls == 1
    body.close()
    server(slow, log).ask("GET /")
    server(slow, log, slow_after=None).ask("GET /")
    assert await counted(log, valkey) == {
        "info": Counter({"GET /it client disconnected": 1, "GET /it 200": 2}),
        "warning": Counter({"GET /it slow": 2}),
    }
