"""The WSGI middleware, in applications of Flask and none, called as a server calls them."""

import inspect
import io
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from flask import Flask, Response, abort
from redis.asyncio import Redis

import logcommon
from logcommon.integrations import wsgi
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations.wsgi import CommonLogMiddleware
from logcommon.runtime import ending
from support.clock import HandClock
from support.layout import read_counts
from support.until import until

Counts = dict[str, Counter[str]]
Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, Start], Iterable[bytes]]
SEVERITIES = ("info", "warning", "error")
FILE = f"{__name__.replace('.', '/')}.py"
ROUTE = {"logcommon.route": "/it"}


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


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """The clock of requests, turned by hand."""
    clock = HandClock()
    monkeypatch.setattr(wsgi, "monotonic", clock)
    return clock


async def counted(log: logcommon.CommonLog, valkey: Redis, name: str = "web") -> Counts:
    """Return what Redis counts for each severity that has something, in all hours together."""
    await log.flush()
    found = {severity: await read_counts(valkey, name, severity) for severity in SEVERITIES}
    return {severity: sum(hours.values(), Counter()) for severity, hours in found.items() if hours}


@dataclass
class Server:
    """What a server sees of an application, a request at a time."""

    app: App
    status: str = ""
    exc_info: Any = None
    written: list[bytes] = field(default_factory=list)

    def call(self, request: str, **environ: object) -> Iterable[bytes]:
        """Call the application, and return the body that it returns."""
        method, _, path = request.partition(" ")
        given: Environ = {"REQUEST_METHOD": method, "PATH_INFO": path, **environ}
        setup_testing_defaults(given)
        body: Iterable[bytes] = self.app(given, self.start_response)
        return body

    def start_response(
        self, status: str, headers: object, exc_info: object = None
    ) -> Callable[[bytes], object]:
        self.status, self.exc_info = status, exc_info
        return self.written.append

    def ask(self, request: str, **environ: object) -> bytes:
        """Call the application, send the whole body and close it."""
        body = self.call(request, **environ)
        try:
            return b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()


def server(app: App, log: object, **settings: object) -> Server:
    return Server(CommonLogMiddleware(app, log, **settings))


def plain(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """An application that answers in a list."""
    environ |= ROUTE
    start_response("200 OK", [("Content-Type", "text/plain")])
    return BODY


BODY = [b"a", b"b"]


def streaming(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """An application that answers in a generator, and begins when the server asks for it."""
    environ |= ROUTE
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield from BODY


def flask_shop() -> Flask:
    """Return an application with a route of every kind."""
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
    """What Flask answers with a 500 counts by type and place; paths that match no rule as one."""
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
    """They pass as they are, so that a server may take a length or use sendfile, and count."""
    file = FileWrapper(io.BytesIO(b"of a file"))

    def sending(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ |= ROUTE
        start_response("200 OK", [])
        return file

    assert server(plain, log).call("GET /") is BODY
    assert server(sending, log).call("GET /", **{"wsgi.file_wrapper": FileWrapper}) is file
    assert await counted(log, valkey) == {"info": Counter({"GET /it 200": 2})}


async def test_a_stream_counts_when_it_is_closed(log: logcommon.CommonLog, valkey: Redis) -> None:
    """The chunks are the application's own, each made when the server asks for it."""
    body: Any = server(streaming, log).call("GET /")
    assert list(body) == BODY
    assert all(map(lambda chunk, own: chunk is own, body, BODY))
    assert log.stats.calls == 0
    body.close()
    body.close()
    assert await counted(log, valkey) == {"info": Counter({"GET /it 200": 1})}


async def test_a_stream_that_is_closed_early_lost_its_client(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """A server closes what it can't send; of a HEAD request it may not ask for the body at all."""
    for method in ("GET", "HEAD"):
        body: Any = server(streaming, log).call(f"{method} /")
        next(body)
        body.close()
    assert await counted(log, valkey) == {
        "info": Counter({"GET /it client disconnected": 1, "HEAD /it 200": 1})
    }


class Failing:
    """A body that fails in one of its methods."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __iter__(self) -> Iterator[bytes]:
        self._fail("iter")
        yield b"a"
        self._fail("next")

    def close(self) -> None:
        self._fail("close")

    def _fail(self, where: str) -> None:
        if self._where == where:
            raise ZeroDivisionError("of secret text")


@pytest.mark.parametrize("where", ["call", "iter", "next", "close"])
async def test_an_exception_counts_and_passes(
    log: logcommon.CommonLog, valkey: Redis, where: str
) -> None:
    """Raised by the application, by its body or at its close, and once."""

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ |= ROUTE
        if where == "call":
            raise ZeroDivisionError("of secret text")
        start_response("200 OK", [])
        return Failing(where)

    with pytest.raises(ZeroDivisionError):
        server(app, log).ask("GET /")
    ((severity, messages),) = (await counted(log, valkey)).items()
    (message,) = messages.elements()
    assert severity == "error"
    assert message.startswith(f"GET /it ZeroDivisionError at {FILE}:")


async def test_an_error_page_counts_as_its_exception(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """`exc_info` goes to the server, and `write` is the server's."""

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        try:
            raise ValueError("of secret text")
        except ValueError:
            write = start_response("500 Oops", [], sys.exc_info())
        write(b"an error")
        return []

    shop = server(app, log)
    assert shop.ask("GET /") == b""
    assert (shop.written, shop.exc_info[0]) == ([b"an error"], ValueError)
    (message,) = (await counted(log, valkey))["error"].elements()
    assert message.startswith(f"GET <no route> ValueError at {FILE}:")


async def test_an_application_that_does_not_answer_is_a_500(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """A server answers in its place."""
    server(lambda *_: [], log).ask("GET /")
    assert await counted(log, valkey) == {"error": Counter({"GET <no route> 500": 1})}


async def test_a_slow_request_counts_once_more(
    log: logcommon.CommonLog, valkey: Redis, time: HandClock
) -> None:
    """While it is streamed, or at its end; once."""

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


async def test_with_a_url_it_writes_from_a_thread(valkey_url: str, valkey: Redis) -> None:
    """Nothing need be opened, and the application finds the client in the environ."""

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ["logcommon.log"].log_common_nowait("shop", "order taken")
        return plain(environ, start_response)

    shop = server(app, valkey_url, service="shop", linger=0)
    for _ in range(100):
        shop.ask("GET /")

    async def all_there() -> bool:
        found = await read_counts(valkey, "shop")
        return sum(found.values(), Counter()) == {"GET /it 200": 100, "order taken": 100}

    await until(all_there)


async def test_a_client_that_is_not_open_is_warned_of_once(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning says what to do; what was counted meanwhile is written once it opens."""
    log = logcommon.connect(valkey_url)
    shop = server(plain, log)
    for _ in range(3):
        shop.ask("GET /")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("logcommon", logging.WARNING)
    assert "open it when the application starts" in record.message
    assert "pass a URL instead" in record.message
    async with log:
        shop.ask("GET /")
        assert await counted(log, valkey) == {"info": Counter({"GET /it 200": 4})}
    assert len(caplog.records) == 1


def test_an_open_client_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Nor is one in the background, which opens itself."""
    requests = RequestLog(wsgi.log_for("redis://127.0.0.1:1", {}), "web", lambda _: None)
    requests.note("response", "GET", "/", 0.0, 200)
    assert caplog.records == []


def test_bad_arguments_are_refused_at_once() -> None:
    """A URL, a service or settings that can't be used, before any request."""
    log = logcommon.connect()
    with pytest.raises(logcommon.InvalidArgumentError, match="URL"):
        CommonLogMiddleware(plain, "postgres://localhost")
    with pytest.raises(logcommon.InvalidArgumentError):
        CommonLogMiddleware(plain, log, service="")
    with pytest.raises(logcommon.InvalidArgumentError, match="give linger there"):
        CommonLogMiddleware(plain, log, linger=1)


def test_it_imports_no_framework() -> None:
    """It needs neither Flask nor Django."""
    program = (
        "import sys, logcommon.integrations.wsgi;"
        "print(sys.modules.keys() & {'flask', 'django', 'werkzeug'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "set()\n"
