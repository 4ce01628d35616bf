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
import math
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic
from typing import Any, TypeAlias

from logcommon.background import BackgroundLog, log_for
from logcommon.client import CommonLog
from logcommon.exceptions import InvalidArgumentError
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations._routes import route_template
from logcommon.integrations.requests import ERROR, Choose, What, choose

_Dict: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Dict]]
_Send: TypeAlias = Callable[[_Dict], Awaitable[None]]
_App: TypeAlias = Callable[[_Dict, _Receive, _Send], Awaitable[None]]
_Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]

_LOST = 1006
"""How a websocket ends that was closed by nobody."""


class CommonLogMiddleware:
    """Counts responses, exceptions, slow requests and clients that went away.

    - A response, once its last byte was handed to the server. A websocket connection counts as one
      when it is closed, by its code; refused, by the status that the client is answered with.
    - An exception that the application raises, in place of the 5xx that it leads to.
    - A request that takes longer than `slow_after`, once more, while it is still streamed if need
      be. Background tasks don't count, nor does a websocket.
    - A client that went away before its response was complete, in place of that, as soon as the
      application is told. Many servers report a disconnect only if the application calls
      `receive()`.

    The application is called in the same task, and everything it sends, receives and raises passes
    unchanged. Whatever goes wrong here is a warning of the logger `logcommon`, once a minute.

    With a URL, a thread writes in the background. It needs no lifespan, and works in any server, in
    a mounted application and after a fork. What is pending is written when the lifespan ends, and
    when the process exits. With a client, nothing is written until the application opens it.

    In the scope, `logcommon` is the client, open if a URL was given. A middleware between this and
    the application must not copy the scope, or the route stays unknown.

    Args:
        app: The application.
        log: A URL, as for `connect`; or a client, which the application opens and closes, for
            instance with `lifespan`.
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

    async def __call__(self, scope: _Dict, receive: _Receive, send: _Send) -> None:
        """Serve a request or a connection; other scopes, as `lifespan`, are left alone."""
        if scope["type"] == "http":
            exchange: _Exchange = _Http(self._requests, scope, receive, send, self._slow_after)
        elif scope["type"] == "websocket":
            exchange = _WebSocket(self._requests, scope, receive, send)
        else:
            await self._serve_other(scope, receive, send)
            return
        log = self._log
        scope["logcommon"] = log if isinstance(log, CommonLog) else await log.open_async()
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            exchange.cancelled()
            raise
        except Exception as error:
            exchange.raised(error)
            raise
        exchange.returned()

    async def _serve_other(self, scope: _Dict, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan" and isinstance(self._log, BackgroundLog):
            send = _flushing(self._log, send)
        await self._app(scope, receive, send)


def _flushing(log: BackgroundLog, send: _Send) -> _Send:
    """Return a `send` that writes what is pending before it says that the shutdown is over."""

    async def flush_and_send(message: _Dict) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await log.flush_async()
        await send(message)

    return flush_and_send


class _Exchange:
    """What was seen of a request or of a websocket connection."""

    def __init__(
        self,
        requests: RequestLog,
        scope: _Dict,
        receive: _Receive,
        send: _Send,
        slow_after: float = math.inf,
    ) -> None:
        self._requests = requests
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._complete = self._counted = self._gone = False
        self._began = monotonic()
        self._slow_from = self._began + slow_after

    async def receive(self) -> _Dict:
        """Receive for the application."""
        message = await self._receive()
        self._received(message)
        return message

    async def send(self, message: _Dict) -> None:
        """Send for the application."""
        try:
            await self._send(message)
        except OSError:  # what newer servers raise where there is nobody to send to
            self._leave()
            raise
        self._sent(message)

    def cancelled(self) -> None:
        """Take the cancellation of a request for the client's leaving: the usual reason."""
        self._leave()
        self.returned()

    def raised(self, error: Exception) -> None:
        """Note an exception that left the application."""
        if not (self._gone and _says_so(error)):
            self._note("exception", error)
        self._check_slow()

    def returned(self) -> None:
        """Note a response that is not noted yet."""
        if not (self._counted or self._gone):
            self._status = self._status or self._unanswered()
            error = self._scope.get(ERROR)
            if isinstance(error, Exception):
                self._note("exception", error)
            else:
                self._note("response")
        self._check_slow()

    def _received(self, message: _Dict) -> None:
        raise NotImplementedError

    def _sent(self, message: _Dict) -> None:
        raise NotImplementedError

    def _unanswered(self) -> int:
        """Return what a server makes of an application that has not answered."""
        return 500

    def _finish(self, status: int | None) -> None:
        self._status, self._complete = status, True
        # A framework that answers an exception with a 500 raises it after that, and it then counts.
        if not self._gone and status is not None and not 500 <= status < 600:
            self._counted = True
            self._note("response")

    def _leave(self) -> None:
        if not (self._complete or self._gone):
            self._gone = True
            self._note("disconnect")

    def _check_slow(self) -> None:
        if monotonic() > self._slow_from and not self._complete:
            self._slow_from = math.inf
            self._note("slow")

    def _note(self, what: What, error: Exception | None = None) -> None:
        method = self._scope.get("method", "WEBSOCKET")
        route = route_template(self._scope)
        self._requests.note(what, method, route, self._began, self._status, error)


class _Http(_Exchange):
    _ending = False

    async def send(self, message: _Dict) -> None:
        """Send for the application."""
        self._ending = self._ending or _is_last(message)
        await super().send(message)

    def _received(self, message: _Dict) -> None:
        # Some servers, as Hypercorn, tell of a disconnect while they take the last message.
        if message["type"] == "http.disconnect" and not self._ending:
            self._leave()

    def _sent(self, message: _Dict) -> None:
        if message["type"] == "http.response.start":
            self._status = int(message["status"])
        self._check_slow()
        if _is_last(message):
            self._finish(self._status)


class _WebSocket(_Exchange):
    _accepted = False

    def _received(self, message: _Dict) -> None:
        if message["type"] != "websocket.disconnect" or self._complete:
            return
        code = message.get("code") or _LOST
        if code == _LOST:
            self._leave()
        else:
            self._finish(code)
            self._gone = True

    def _sent(self, message: _Dict) -> None:
        if message["type"] == "websocket.accept":
            self._accepted = True
        elif message["type"] == "websocket.close":
            self._finish((message.get("code") or 1000) if self._accepted else 403)
        elif message["type"] == "websocket.http.response.start":
            self._status = int(message["status"])
        elif _is_last(message):
            self._finish(self._status)

    def _unanswered(self) -> int:
        return 1000 if self._accepted else 500


def _says_so(error: Exception) -> bool:
    """Tell whether an exception is one with which frameworks tell that the client has gone."""
    if isinstance(error, ExceptionGroup):
        return all(map(_says_so, error.exceptions))
    return isinstance(error, OSError) or "Disconnect" in type(error).__name__


_BODIES = ("http.response.body", "http.response.pathsend", "websocket.http.response.body")


def _is_last(message: _Dict) -> bool:
    return message["type"] in _BODIES and not message.get("more_body", False)


def lifespan(log: CommonLog, inner: _Lifespan | None = None) -> _Lifespan:
    """Return a lifespan, as Starlette and FastAPI take it, that opens and closes the client.

    Args:
        log: The client. It is open before the application starts up, and until it has shut down.
        inner: The application's own lifespan; what it yields is the state that requests see.

    Raises:
        InvalidArgumentError: This is no client. A middleware with a URL needs no lifespan.

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
