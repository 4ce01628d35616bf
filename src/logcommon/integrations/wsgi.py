"""Middleware for WSGI applications: Flask, Django and any other.

```python
from flask import Flask
from logcommon.integrations.wsgi import CommonLogMiddleware

app = Flask(__name__)
app.wsgi_app = CommonLogMiddleware(app.wsgi_app, log="redis://localhost:6379/0", service="shop")
```

It imports no framework. The template of a route is what Flask leaves in the environ. Django leaves
nothing there: add `logcommon.integrations.django.route_middleware` to its settings. In any other
framework the application can set `environ["logcommon.route"]` itself.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from types import TracebackType
from typing import Any, TypeAlias

from logcommon.background import BackgroundLog, log_for
from logcommon.client import CommonLog
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations._routes import wsgi_route_template
from logcommon.integrations.requests import ERROR, NO_ROUTE, Choose, What, choose

_Environ: TypeAlias = dict[str, Any]
_Write: TypeAlias = Callable[[bytes], object]
_App: TypeAlias = Callable[[_Environ, Callable[..., _Write]], Iterable[bytes]]
_ExcInfo: TypeAlias = (
    "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None"
)

_NO_BODY = ("HEAD",)
"""Methods whose response a server may send without iterating over the body."""


class CommonLogMiddleware:
    """Counts responses, exceptions, slow requests and clients that went away.

    - A response, when the server closes its body: after the last byte was sent. A list of chunks,
      or a file that the server sends by itself, counts when the application returns it.
    - An exception that the application raises, in place of the 5xx that it leads to. Flask answers
      an exception itself, and is asked which one it was.
    - A request that takes longer than `slow_after`, once more.
    - A client that went away before the server had iterated over the whole body.

    The environ, headers, `exc_info`, `write` and the chunks of a body pass unchanged. Whatever goes
    wrong here is a warning of the logger `logcommon`, once a minute.

    In the environ, `logcommon.log` is the client.

    Args:
        app: The application.
        log: A URL, as for `connect`: a thread writes in the background, and what is pending is
            written when the process exits. Or a client.
        service: The name to count under.
        slow_after: Seconds from which on a request is slow, None for never.
        choose: Returns what to log of a request, None for nothing.
        settings: Keyword arguments of `connect`, if `log` is a URL.

    Raises:
        InvalidArgumentError: The URL, the service or a setting can't be used.

    """

    def __init__(
        self,
        app: _App,
        /,
        log: str | CommonLog | BackgroundLog,
        *,
        service: str = "web",
        slow_after: float | None = 1.0,
        choose: Choose = choose,
        **settings: Any,
    ) -> None:
        self._app = app
        self._log = log_for(log, settings)
        self._requests = RequestLog(self._log, service, choose)
        self._slow_after = math.inf if slow_after is None else slow_after
        _listen_to_flask()

    def __call__(self, environ: _Environ, start_response: Callable[..., _Write]) -> Iterable[bytes]:
        """Serve a request."""
        environ["logcommon.log"] = self._log
        exchange = _Exchange(self._requests, environ, start_response, self._slow_after)
        try:
            body = self._app(environ, exchange.start_response)
        except BaseException as error:
            exchange.raised(error)
            raise
        if _is_sent_whole(environ, body):
            exchange.returned()
            return body
        return _Body(body, exchange)


class _Exchange:
    """What was seen of a request."""

    def __init__(
        self,
        requests: RequestLog,
        environ: _Environ,
        start_response: Callable[..., _Write],
        slow_after: float,
    ) -> None:
        self._requests = requests
        self._environ = environ
        self._start_response = start_response
        self._status = 500  # what a server makes of an application that has not answered
        self._route = NO_ROUTE
        self._error: BaseException | None = None
        self._began = monotonic()
        self._slow_from = self._began + slow_after
        self._method = str(environ.get("REQUEST_METHOD", "GET"))

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo = None
    ) -> _Write:
        """Begin a response for the application."""
        if exc_info is None:
            write = self._start_response(status, headers)
        else:
            self._error = exc_info[1]
            write = self._start_response(status, headers, exc_info)
        self._route = wsgi_route_template(self._environ)  # Flask forgets it at the end
        self._status = _code(status)
        return write

    def raised(self, error: BaseException) -> None:
        """Note an exception that left the application."""
        if self._route == NO_ROUTE:
            self._route = wsgi_route_template(self._environ)
        self._note("exception", error)
        self.check_slow()

    def returned(self) -> None:
        """Note a response that is complete, or the exception that it tells of."""
        error = self._error or self._environ.get(ERROR)
        if isinstance(error, BaseException) and self._status >= 500:
            self._note("exception", error)
        else:
            self._note("response")
        self.check_slow()

    def left(self) -> None:
        """Note a response whose body was closed before its end."""
        if self._method in _NO_BODY:
            self.returned()
        else:
            self._note("disconnect")
            self.check_slow()

    def check_slow(self) -> None:
        """Note, once, that the request has taken long."""
        if monotonic() > self._slow_from:
            self._slow_from = math.inf
            self._note("slow")

    def _note(self, what: What, error: BaseException | None = None) -> None:
        self._requests.note(what, self._method, self._route, self._began, self._status, error)


class _Body:
    """A body whose end is noted; the server gets the application's chunks."""

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange
        self._chunks: Iterator[bytes] | None = None
        self._open = True
        self._complete = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._chunks is None:
                self._chunks = iter(self._body)
            chunk = next(self._chunks)
        except StopIteration:
            self._complete = True
            raise
        except BaseException as error:
            self._end(self._exchange.raised, error)
            raise
        self._exchange.check_slow()
        return chunk

    def close(self) -> None:
        """Close the application's body, and note the end of the response."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        except BaseException as error:
            self._end(self._exchange.raised, error)
            raise
        self._end(self._exchange.returned if self._complete else self._exchange.left)

    def _end(self, note: Callable[..., None], *error: BaseException) -> None:
        if self._open:
            self._open = False
            note(*error)


def _is_sent_whole(environ: _Environ, body: Iterable[bytes]) -> bool:
    """Tell whether the server does better with the body itself than with one that counts.

    Of a list it takes the length, and a file it may send without reading it.
    """
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(body, list | tuple) or (
        isinstance(wrapper, type) and isinstance(body, wrapper)
    )


def _code(status: str) -> int:
    code = status[:3]
    return int(code) if code.isdecimal() else 500


def _listen_to_flask() -> None:
    """Have Flask leave in the environ the exception that it answers with a 500."""
    flask = sys.modules.get("flask")
    if flask is not None:
        flask.got_request_exception.connect(_leave_error)


def _leave_error(sender: object, exception: BaseException, **_: object) -> None:
    sys.modules["flask"].request.environ[ERROR] = exception
