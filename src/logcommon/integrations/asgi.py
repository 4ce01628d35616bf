"""Middleware for ASGI applications: FastAPI, Starlette, Litestar, Quart and any other.

```python
from fastapi import FastAPI
from logcommon.integrations.asgi import CommonLogMiddleware

app = FastAPI()
app.add_middleware(CommonLogMiddleware, log="redis://localhost:6379/0", service="shop")
```

It imports no framework. The template of a route is what the framework leaves in the scope: `route`
and `router` of Starlette and FastAPI, `path_template` of Litestar. For a framework that leaves
nothing there, such as Quart, the application can set `path_template` itself. For Django there is
`logcommon.integrations.django`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from logcommon.background import BackgroundLog
from logcommon.client import CommonLog
from logcommon.exceptions import InvalidArgumentError
from logcommon.integrations._middleware import LEFT, OPEN, Middleware, RequestCycle
from logcommon.integrations._routes import asgi_route
from logcommon.integrations.requests import ERROR_KEY

# Frameworks and servers each have types of their own for these; `Any` takes them all.
_Receive: TypeAlias = Callable[[], Awaitable[Any]]
_Send: TypeAlias = Callable[[Any], Awaitable[Any]]
_Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
_Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]

_NEVER = float("inf")

_NORMAL_CLOSURE = 1000

_ABNORMAL_CLOSURE = 1006
"""The code of a websocket whose connection was lost."""


class CommonLogMiddleware(Middleware[_Application]):
    """Counts responses, exceptions, slow requests and clients that went away.

    - A response, once its last byte was handed to the server. A websocket connection counts as one
      when it is closed, by its code; if it is refused, by the status that the client receives.
    - An exception that the application raises, in place of the 5xx that it leads to.
    - A request that takes longer than `slow_after`, in addition, even while it is still streamed.
      Background tasks don't count, nor does a websocket.
    - A client that went away before its response was complete, in place of that, as soon as the
      application is told. Many servers report a disconnect only if the application calls
      `receive()`.

    The application is called in the same task, and everything that it sends, receives and raises
    passes unchanged. If anything goes wrong in here, the logger `logcommon` warns, once a minute.

    With a URL, a thread writes in the background. It needs no lifespan, and works in any server, in
    a mounted application and after a fork. What is pending is written when the lifespan ends, and
    when the process exits. With a client, nothing is written until the application opens it, for
    instance with `lifespan`.

    The application finds the client in `scope["logcommon"]`, open if a URL was given. If another
    middleware copies the scope between this one and the application, the route stays unknown.
    """

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        """Serve a request or a websocket; pass on other scopes, as `lifespan`."""
        if scope["type"] == "http":
            method, slow_after = scope.get("method", "GET"), self._slow_after
        elif scope["type"] == "websocket":
            method, slow_after = "WEBSOCKET", _NEVER
        else:
            await self._serve_other(scope, receive, send)
            return

        cycle = RequestCycle(self._requests, method, partial(asgi_route, scope), slow_after)
        channel = _Channel(cycle, receive, send)
        log = self._log
        scope["logcommon"] = log if isinstance(log, CommonLog) else await log.open_async()
        try:
            await self._app(scope, channel.receive, channel.send)
        except asyncio.CancelledError:  # usually because the client has gone
            cycle.leave()
            cycle.finish(channel.default_status, scope.get(ERROR_KEY))
            raise
        except Exception as error:
            if cycle.state is LEFT and _reports_disconnect(error):
                cycle.check_slow()
            else:
                cycle.fail(error)
            raise
        cycle.finish(channel.default_status, scope.get(ERROR_KEY))

    async def _serve_other(self, scope: Any, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan" and isinstance(self._log, BackgroundLog):
            send = _flushing(self._log, send)
        await self._app(scope, receive, send)


def _flushing(log: BackgroundLog, send: _Send) -> _Send:
    """Return a `send` that flushes before it reports that the shutdown is complete."""

    async def flush_and_send(message: Any) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await log.flush_async()
        await send(message)

    return flush_and_send


class _Channel:
    """Passes messages between server and application, and moves the request's cycle on.

    Requests and websockets have different types of messages, so one class serves both.
    """

    __slots__ = ("_cycle", "_receive", "_send", "default_status")

    def __init__(self, cycle: RequestCycle, receive: _Receive, send: _Send) -> None:
        self._cycle = cycle
        self._receive = receive
        self._send = send
        self.default_status = 500
        """The status that the server sends if the application returns without a response."""

    async def receive(self) -> Any:
        """Receive for the application."""
        message = await self._receive()
        self._received(message)
        return message

    async def send(self, message: Any) -> None:
        """Send for the application."""
        is_last = _is_last(message)
        if is_last:
            self._cycle.end()
        try:
            await self._send(message)
        except OSError:  # what newer servers raise if the client has gone
            self._cycle.leave()
            raise
        self._sent(message, is_last)

    def _received(self, message: Any) -> None:
        # Some servers, as Hypercorn, report a disconnect while they take the last message.
        if self._cycle.state is not OPEN:
            return

        if message["type"] == "http.disconnect":
            self._cycle.leave()
        elif message["type"] == "websocket.disconnect":
            code = message.get("code") or _ABNORMAL_CLOSURE
            if code == _ABNORMAL_CLOSURE:
                self._cycle.leave()
            else:
                self._cycle.leave_with_code(code)

    def _sent(self, message: Any, is_last: bool) -> None:  # noqa: FBT001
        cycle, kind = self._cycle, message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            cycle.status = int(message["status"])
        elif kind == "websocket.accept":
            self.default_status = _NORMAL_CLOSURE
        elif kind == "websocket.close":
            is_accepted = self.default_status == _NORMAL_CLOSURE
            cycle.status = (message.get("code") or _NORMAL_CLOSURE) if is_accepted else 403

        if is_last:
            cycle.complete()
        else:
            cycle.check_slow()


def _reports_disconnect(error: Exception) -> bool:
    """Return whether a framework uses this exception to report that the client has gone."""
    if isinstance(error, ExceptionGroup):
        return all(map(_reports_disconnect, error.exceptions))
    return isinstance(error, OSError) or "Disconnect" in type(error).__name__


_BODIES = ("http.response.body", "http.response.pathsend", "websocket.http.response.body")


def _is_last(message: Any) -> bool:
    kind = message["type"]
    return kind == "websocket.close" or (kind in _BODIES and not message.get("more_body", False))


def lifespan(log: CommonLog, inner: _Lifespan | None = None) -> _Lifespan:
    """Return a lifespan, as Starlette and FastAPI take it, that opens and closes the client.

    Args:
        log: The client. It is open from before the application starts until it has shut down.
        inner: The application's own lifespan; what it yields is the state that requests see.

    Raises:
        InvalidArgumentError: `log` is not a client. A middleware with a URL needs no lifespan.

    """
    if not isinstance(log, CommonLog):
        raise InvalidArgumentError(
            "lifespan takes a client made by logcommon.connect; with a URL, give it to "
            "CommonLogMiddleware alone, which needs no lifespan"
        )

    @asynccontextmanager
    async def manage(app: Any) -> AsyncIterator[Any]:
        async with log:
            if inner is None:
                yield None
            else:
                async with inner(app) as state:
                    yield state

    return manage
