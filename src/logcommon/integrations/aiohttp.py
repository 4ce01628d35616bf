"""Middleware and a client for aiohttp applications. Extra `aiohttp`.

```python
from aiohttp import web
from logcommon.integrations.aiohttp import LOG, setup


async def order(request: web.Request) -> web.Response:
    await request.app[LOG].log_common("shop", "order was looked at", "info")
    return web.json_response({"id": request.match_info["id"]})


app = web.Application()
app.router.add_get("/orders/{id}", order)
setup(app, "redis://localhost:6379/0", service="shop")

if __name__ == "__main__":
    web.run_app(app)  # each request is counted, as "GET /orders/{id} 200"
```
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

from logcommon.background import reject_settings
from logcommon.client import CommonLog, connect
from logcommon.integrations._extras import require_extra
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations._routes import aiohttp_route
from logcommon.integrations.requests import Choose, RequestEvent, default_choice

with require_extra("aiohttp>=3.11"):
    from aiohttp import WSCloseCode, hdrs, web
    from aiohttp.typedefs import Handler, Middleware

LOG = web.AppKey("LOG", CommonLog)
"""Where the application keeps its client: `request.app[LOG]`, or `request.config_dict[LOG]` in a
handler of a sub-application."""

CleanupContext: TypeAlias = Callable[[web.Application], AsyncIterator[None]]

_NEVER = float("inf")

_SWITCHING_PROTOCOLS = 101

_WRITTEN_AT_ONCE = 32 * 1024
"""Bytes of a body that aiohttp writes without waiting for the client to read them."""

_NO_CODE = 1005
"""The code of a websocket that was closed without one (RFC 6455, section 7.4.1)."""


def setup(
    app: web.Application,
    log: str | CommonLog,
    *,
    service: str = "web",
    slow_after: float | None = 1.0,
    choose: Choose = default_choice,
    **settings: Any,
) -> None:
    """Count an application's requests with a client that is open for as long as it runs.

    This adds `common_log_middleware` as the outermost middleware, and `common_log_ctx` as the first
    cleanup context, before those that the application has already added.

    Args:
        app: The application.
        log: A URL, as for `connect`, or a client.
        service: The name to count under.
        slow_after: Seconds after which a request is slow; None for never.
        choose: Returns what to log of a request; None logs nothing.
        settings: Keyword arguments of `connect`, if `log` is a URL.

    Raises:
        InvalidArgumentError: The URL, the service or a setting can't be used.

    """
    if isinstance(log, str):
        log = connect(log, **settings)
    else:
        reject_settings(settings)

    counting = common_log_middleware(log, service=service, slow_after=slow_after, choose=choose)
    app.middlewares.insert(0, counting)
    app.cleanup_ctx.insert(0, common_log_ctx(log))


def common_log_ctx(log: CommonLog) -> CleanupContext:
    """Return a context for `app.cleanup_ctx` that opens `log`, as `app[LOG]`, and closes it.

    It is closed after all other cleanup, including that of `on_cleanup` and of sub-applications, so
    what they log counts as well.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        opened = AsyncExitStack()
        await opened.enter_async_context(log)
        if app.get(LOG) is not log:  # it is, if the application is started a second time
            app[LOG] = log

        # Cleanup contexts end before on_cleanup is sent, and it is sent only if the application has
        # started. Handlers can be added to it only until then.
        closes_last = not app.on_cleanup.frozen
        if closes_last:
            app.on_cleanup.append(lambda _: opened.aclose())
        yield

        has_started = app.on_cleanup.frozen
        if not (closes_last and has_started):
            await opened.aclose()

    return context


def common_log_middleware(
    log: CommonLog,
    *,
    service: str = "web",
    slow_after: float | None = 1.0,
    choose: Choose = default_choice,
) -> Middleware:
    """Return a middleware that counts with a client that the application opens and closes.

    When a request is over, one of these is counted: its response, with the status that was sent; an
    exception, by its type and place; or a client that went away before it had the response. A
    request that took long is also counted as slow. A websocket counts as a response with the code
    that closed it, and is never slow.

    Put it first in `middlewares` of the outermost application, and only there: further inside it
    does not see what other middlewares answer, or what they make of a response.

    Args:
        log: The client. What is counted before it is opened is written then.
        service: The name to count under.
        slow_after: Seconds after which a request is slow, including the time to send the response;
            None for never.
        choose: Returns what to log of a request; None logs nothing. If it raises, nothing is
            counted, and the logger `logcommon` warns, once a minute at most.

    Raises:
        InvalidArgumentError: `log` is not a client, or `service` can't be used as a name.

    """
    counter = _Counter(log, service, _NEVER if slow_after is None else slow_after, choose)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = monotonic()
        try:
            response = await handler(request)
        except web.HTTPException as response_raised:
            counter.count_response(request, began, response_raised)
            raise
        except (Exception, asyncio.CancelledError) as error:
            counter.count_error(request, began, error)
            raise

        counter.count_response(request, began, response)
        return response

    return middleware


class _Counter:
    """Counts the requests of one middleware; never raises."""

    def __init__(self, log: CommonLog, service: str, slow_after: float, choose: Choose) -> None:
        self._requests = RequestLog(log, service, choose)
        self._slow_after = slow_after

    def count_response(
        self, request: web.Request, began: float, response: web.StreamResponse
    ) -> None:
        """Count a response when it has been sent, at once if nothing can go wrong any more."""
        is_sent = _is_sent_in_one_write(request, response)
        if is_sent or (task := asyncio.current_task()) is None:
            self._count(request, "response", began, _status(response), None)
        else:
            task.add_done_callback(partial(self._count_sent, request, began, response))

    def count_error(self, request: web.Request, began: float, error: BaseException) -> None:
        """Count an exception of the application, or a disconnect if that caused it."""
        transport = request.transport
        has_gone = transport is None or transport.is_closing()
        is_disconnect = has_gone and isinstance(error, (OSError, asyncio.CancelledError))
        event: RequestEvent = "disconnect" if is_disconnect else "exception"
        self._count(request, event, began, None, error)

    def _count_sent(
        self,
        request: web.Request,
        began: float,
        response: web.StreamResponse,
        task: "asyncio.Task[Any]",
    ) -> None:
        """Count a response once the task that sends it is done."""
        status = _status(response)
        error = None if task.cancelled() else task.exception()

        event: RequestEvent = "response"
        if error is not None:
            event = "exception"
        elif status == WSCloseCode.ABNORMAL_CLOSURE or _is_lost(request, task):
            event = "disconnect"
        self._count(request, event, began, status, error)

    def _count(
        self,
        request: web.Request,
        event: RequestEvent,
        began: float,
        status: int | None,
        error: BaseException | None,
    ) -> None:
        method, route = _method(request), partial(aiohttp_route, request)
        self._requests.count(event, method, route, began, status, error)
        if monotonic() > began + self._slow_after and method != "WEBSOCKET":
            self._requests.count("slow", method, route, began, status, error)


def _is_sent_in_one_write(request: web.Request, response: web.StreamResponse) -> bool:
    """Return whether the response needs only one write, without waiting, to an open connection.

    Most responses do, and a callback at the end of the task is most of what counting one costs.
    """
    transport = request.transport
    if transport is None or transport.is_closing() or response.__class__ is not web.Response:
        return False
    body = response.body
    if body.__class__ is not bytes or len(body) > _WRITTEN_AT_ONCE or response.compression:
        return False
    return all(not app.on_response_prepare for app in request.match_info.apps)


def _method(request: web.Request) -> str:
    headers = request.headers
    if hdrs.UPGRADE in headers and headers[hdrs.UPGRADE].lower() == "websocket":
        return "WEBSOCKET"
    return request.method


def _status(response: web.StreamResponse) -> int:
    # If a handler returns None, for instance, aiohttp sends a 500.
    status: int = getattr(response, "status", 500)
    if status == _SWITCHING_PROTOCOLS and isinstance(response, web.WebSocketResponse):
        return int(response.close_code or _NO_CODE)
    return status


def _is_lost(request: web.Request, task: "asyncio.Task[Any]") -> bool:
    """Return whether the client went away before the whole response was sent."""
    if task.cancelled():
        return True

    # The task in which aiohttp handles a request returns (response, whether the client has gone):
    # https://github.com/aio-libs/aiohttp/blob/v3.14.3/aiohttp/web_protocol.py#L565-L570
    # https://github.com/aio-libs/aiohttp/blob/v3.14.3/aiohttp/web_protocol.py#L673-L686
    result = task.result()
    if isinstance(result, tuple):
        return bool(result[1])
    return request.transport is None  # the application called the handler in a task of its own
