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

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import ModuleType, TracebackType
from typing import Any, TypeAlias

from logcommon.integrations._middleware import OPEN, Middleware, RequestCycle
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations._routes import wsgi_route
from logcommon.integrations.requests import ERROR_KEY, NO_ROUTE

_Environ: TypeAlias = dict[str, Any]
_Write: TypeAlias = Callable[[bytes], object]
_StartResponse: TypeAlias = Callable[..., _Write]
# Frameworks each have types of their own for the parameters; `Any` takes them all.
_Application: TypeAlias = Callable[[Any, Any], Iterable[bytes]]
_ExcInfo: TypeAlias = (
    "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None"
)

_SERVER_ERROR = 500
"""What a server sends if the application has started no response."""


class CommonLogMiddleware(Middleware[_Application]):
    """Counts responses, exceptions, slow requests and clients that went away.

    - A response, when the server closes its body: after the last byte was sent. A list of chunks,
      or a file that the server sends by itself, counts when the application returns it.
    - An exception that the application raises, in place of the 5xx that it leads to. Flask answers
      exceptions itself; its signal `got_request_exception` says which one it was.
    - A request that takes longer than `slow_after`, in addition.
    - A client that went away before the server had iterated over the whole body.

    The environ, headers, `exc_info`, `write` and the chunks of a body pass unchanged. If anything
    goes wrong in here, the logger `logcommon` warns, once a minute.

    The application finds the client in `environ["logcommon.log"]`.
    """

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        if (flask := sys.modules.get("flask")) is not None:
            _connect_to(flask)
        environ["logcommon.log"] = self._log

        invocation = _Invocation(self._requests, environ, start_response, self._slow_after)
        try:
            body = self._app(environ, invocation.start_response)
        except BaseException as error:
            invocation.cycle.fail(error)
            raise
        if _is_sent_by_server(environ, body):
            invocation.finish()
            return body
        return _Body(body, invocation)


class _Invocation:
    """One invocation of the application, and the cycle of its request."""

    __slots__ = ("_environ", "_error", "_method", "_start_response", "_template", "cycle")

    def __init__(
        self,
        requests: RequestLog,
        environ: _Environ,
        start_response: _StartResponse,
        slow_after: float,
    ) -> None:
        self._environ = environ
        self._start_response = start_response
        self._method = str(environ.get("REQUEST_METHOD", "GET"))
        self._template = NO_ROUTE
        self._error: BaseException | None = None
        self.cycle = RequestCycle(requests, self._method, self._route, slow_after)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo = None
    ) -> _Write:
        """Start the response for the application."""
        if exc_info is None:
            write = self._start_response(status, headers)
        else:
            self._error = exc_info[1]
            write = self._start_response(status, headers, exc_info)

        self._route()  # now: Flask forgets it when the request ends
        self.cycle.status = _code(status)
        return write

    def finish(self) -> None:
        """Count the response, or the exception behind it."""
        self.cycle.finish(_SERVER_ERROR, self._error or self._environ.get(ERROR_KEY))

    def close(self) -> None:
        """Count the request: the server has closed the body, and sends no more of it."""
        # A server need not iterate over the body of a response to HEAD.
        if self.cycle.state is OPEN and self._method != "HEAD":
            self.cycle.leave()
        else:
            self.finish()

    def _route(self) -> str:
        """Return the template of the route, and remember it once there is one."""
        if self._template == NO_ROUTE:
            self._template = wsgi_route(self._environ)
        return self._template


class _Body:
    """Passes the chunks of a body on to the server, and counts how that ends."""

    __slots__ = ("_body", "_chunks", "_invocation")

    def __init__(self, body: Iterable[bytes], invocation: _Invocation) -> None:
        self._body = body
        self._invocation = invocation
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        cycle = self._invocation.cycle
        try:
            if self._chunks is None:
                self._chunks = iter(self._body)
            chunk = next(self._chunks)
        except StopIteration:
            cycle.end()
            raise
        except BaseException as error:
            cycle.fail(error)
            raise

        cycle.check_slow()
        return chunk

    def close(self) -> None:
        """Close the application's body."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        except BaseException as error:
            self._invocation.cycle.fail(error)
            raise

        self._invocation.close()


def _is_sent_by_server(environ: _Environ, body: Iterable[bytes]) -> bool:
    """Return whether the server must be given the body itself.

    It sends the length of a list, and may send a file without reading it.
    """
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(body, list | tuple) or (
        isinstance(wrapper, type) and isinstance(body, wrapper)
    )


def _code(status: str) -> int:
    code = status[:3]
    return int(code) if code.isdecimal() else _SERVER_ERROR


@cache
def _connect_to(flask: ModuleType) -> None:
    """Make Flask leave in the environ the exception that it answers with a 500."""
    # https://github.com/pallets/flask/blob/3.1.3/src/flask/app.py#L840
    flask.got_request_exception.connect(_leave_error)


def _leave_error(sender: object, exception: BaseException, **_: object) -> None:
    sys.modules["flask"].request.environ[ERROR_KEY] = exception
