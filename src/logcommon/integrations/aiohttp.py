"""What becomes of the requests of an aiohttp application. Extra `aiohttp`.

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

from logcommon.background import refuse
from logcommon.client import CommonLog, connect
from logcommon.integrations._extras import require_extra
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations.requests import NO_ROUTE, Choose, What
from logcommon.integrations.requests import choose as _usual_choice

with require_extra("aiohttp>=3.11"):
    from aiohttp import WSCloseCode, hdrs, web
    from aiohttp.typedefs import Handler, Middleware

LOG = web.AppKey("LOG", CommonLog)
"""Where the application keeps its client: `request.app[LOG]`, or `request.config_dict[LOG]` in a
handler of a sub-application."""

CleanupContext: TypeAlias = Callable[[web.Application], AsyncIterator[None]]

_SWITCHED_OFF = float("inf")

_SWITCHING_PROTOCOLS = 101

_WRITTEN_AT_ONCE = 32 * 1024
"""Bytes of a body that aiohttp writes without waiting until the client has taken them."""

_NO_CODE = 1005
"""What the protocol has for a websocket that was closed without a code."""


def setup(
    app: web.Application,
    log: str | CommonLog,
    *,
    service: str = "web",
    slow_after: float | None = 1.0,
    choose: Choose = _usual_choice,
    **settings: Any,
) -> None:
    """Count an application's requests with a client that is open for as long as it runs.

    The middleware becomes the outermost one and the client the first to be opened, whatever the
    application has added already; of what it adds later, only what it puts in front stands before
    them. For the parameters see `common_log_middleware` and `common_log_ctx`, which this adds.

    Args:
        app: The application.
        log: A URL, as for `connect`, or a client.
        service: The name to count under.
        slow_after: Seconds after which a request is slow; None for never.
        choose: Chooses what to log of a request.
        settings: Keyword arguments of `connect`, if `log` is a URL.

    Raises:
        InvalidArgumentError: The URL, the service or a setting can't be used.

    """
    if isinstance(log, str):
        log = connect(log, **settings)
    else:
        refuse(settings)
    counting = common_log_middleware(log, service=service, slow_after=slow_after, choose=choose)
    app.middlewares.insert(0, counting)
    app.cleanup_ctx.insert(0, common_log_ctx(log))


def common_log_ctx(log: CommonLog) -> CleanupContext:
    """Return a context for `app.cleanup_ctx` that opens `log`, as `app[LOG]`, and closes it.

    It is closed after all other cleanup, that of `on_cleanup` and of sub-applications included, so
    that what they log counts as well.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        opened = AsyncExitStack()
        await opened.enter_async_context(log)
        if app.get(LOG) is not log:  # it is where the application is started once more
            app[LOG] = log
        # A cleanup context ends before on_cleanup is sent, which is sent only to an application
        # that has started. To the end of it can only be added before the start is over.
        closes_last = not app.on_cleanup.frozen
        if closes_last:
            app.on_cleanup.append(lambda _: opened.aclose())
        yield
        if not (closes_last and app.on_cleanup.frozen):
            await opened.aclose()

    return context


def common_log_middleware(
    log: CommonLog,
    *,
    service: str = "web",
    slow_after: float | None = 1.0,
    choose: Choose = _usual_choice,
) -> Middleware:
    """Return a middleware that counts with a client that the application opens and closes.

    Of each request one of these is counted, once it is over: a response, with the status that was
    sent; an exception, by its type and place; or that the client went away before it had the
    response. One that took long is counted as slow besides. A websocket is a response with the code
    that closed it, and is never slow.

    It belongs first in `middlewares` of the outermost application, and there alone: from further
    in it sees neither what the others answer themselves nor what they make of a response.

    Args:
        log: The client. Calls before it is opened are kept for then.
        service: The name to count under.
        slow_after: Seconds after which a request is slow, the sending included; None for never.
        choose: Chooses the name, message and severity, or None not to count. Where it raises,
            nothing is counted, and a warning is logged to `logcommon` once a minute at most.

    """
    counting = _Counting(log, service, _SWITCHED_OFF if slow_after is None else slow_after, choose)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        begin = monotonic()
        try:
            response = await handler(request)
        except web.HTTPException as raised:
            counting.answered(request, begin, raised)
            raise
        except (Exception, asyncio.CancelledError) as error:
            counting.raised(request, begin, error)
            raise
        counting.answered(request, begin, response)
        return response

    return middleware


class _Counting:
    """Counts the requests of one middleware; never raises."""

    def __init__(self, log: CommonLog, service: str, slow_after: float, choose: Choose) -> None:
        self._requests = RequestLog(log, service, choose)
        self._slow_after = slow_after

    def answered(self, request: web.Request, begin: float, response: web.StreamResponse) -> None:
        """Count a response once it is sent: only then is it known whether, and with what status."""
        if _is_as_good_as_sent(request, response):
            self._count(request, "response", begin, response.status, None)
        elif (task := asyncio.current_task()) is not None:
            task.add_done_callback(partial(self._sent, request, begin, response))

    def raised(self, request: web.Request, begin: float, error: BaseException) -> None:
        """Count what the application raised, or that it did so because the client is gone."""
        transport = request.transport
        gone = transport is None or transport.is_closing()
        lost = gone and isinstance(error, (OSError, asyncio.CancelledError))
        self._count(request, "disconnect" if lost else "exception", begin, None, error)

    def _sent(
        self,
        request: web.Request,
        begin: float,
        response: web.StreamResponse,
        task: "asyncio.Task[Any]",
    ) -> None:
        """Count what became of a response; the task was the one to send it."""
        status = _status(response)
        error = None if task.cancelled() else task.exception()
        what: What = "response"
        if error is not None:
            what = "exception"
        elif status == WSCloseCode.ABNORMAL_CLOSURE or _was_lost(request, task):
            what = "disconnect"
        self._count(request, what, begin, status, error)

    def _count(
        self,
        request: web.Request,
        what: What,
        begin: float,
        status: int | None,
        error: BaseException | None,
    ) -> None:
        try:
            method, route = _method(request), _route(request)
        except Exception as fault:  # noqa: BLE001  # resources may be the application's own
            self._requests.warn(fault)
            return
        self._requests.note(what, method, route, begin, status, error)
        if monotonic() > begin + self._slow_after and method != "WEBSOCKET":
            self._requests.note("slow", method, route, begin, status, error)


def _is_as_good_as_sent(request: web.Request, response: web.StreamResponse) -> bool:
    """Tell whether all that is left is one write to an open connection, which waits for nobody.

    That is so of most responses, and waiting for the end of the task is most of what those cost.
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


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else resource.canonical


def _status(response: web.StreamResponse) -> int:
    # Where a handler returns something else, None for instance, aiohttp answers that itself.
    status: int = getattr(response, "status", 500)
    if status == _SWITCHING_PROTOCOLS and isinstance(response, web.WebSocketResponse):
        return int(response.close_code or _NO_CODE)
    return status


def _was_lost(request: web.Request, task: "asyncio.Task[Any]") -> bool:
    """Tell whether the client went away before it was sent the whole response."""
    if task.cancelled():
        return True
    result = task.result()
    if isinstance(result, tuple):  # aiohttp's own task returns a response, and just that
        return bool(result[1])
    return request.transport is None  # another task called the handlers
