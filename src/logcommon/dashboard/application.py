"""The page as an ASGI application, which can be mounted anywhere."""

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from logcommon.background import BackgroundLog, log_for
from logcommon.client import CommonLog
from logcommon.dashboard.access import SecurityHeaders, TokenRequired
from logcommon.dashboard.feeds import Feeds
from logcommon.dashboard.metrics import exposition
from logcommon.dashboard.views import PARTS, View
from logcommon.exceptions import InvalidArgumentError, LogCommonError
from logcommon.model import hour_of

STATIC = Path(str(files("logcommon.dashboard") / "static"))
SCHEMA = Path(str(files("logcommon.dashboard") / "schema.json"))

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def app(
    log: str | CommonLog | BackgroundLog,
    *,
    token: str | None = None,
    guarded: bool = False,
    hosts: Sequence[str] = ("*",),
    metric_messages: int = 20,
    **settings: Any,
) -> Starlette:
    """Return the page as an ASGI application.

    Args:
        log: What to show: a client, or the URL of one that is made for it.
        token: A secret that a viewer must have, in the address (`?token=…`) or in the header
            `Authorization: Bearer …`.
        guarded: Whether the application that it is mounted in guards it. If neither this nor a
            token is given, a warning says that it is open to everybody.
        hosts: Names under which it may be asked for, as in `*.example.com`.
        metric_messages: How many messages have a metric of their own.
        settings: Keyword arguments of `connect`, if `log` is a URL.

    Raises:
        InvalidArgumentError: An argument can't be used.

    """
    if token is not None and not token:
        raise InvalidArgumentError("the token must not be empty")
    if token is None and not guarded:
        logging.getLogger("logcommon").warning(
            "the dashboard is open to everybody who can reach this server: give it a token, "
            "or guarded=True if the application guards it"
        )
    page = _Page(log_for(log, settings), metric_messages)
    middleware = [Middleware(SecurityHeaders)]
    if "*" not in hosts:
        # Other sites could point a name of theirs at this server, and read it in a browser.
        middleware.append(Middleware(TrustedHostMiddleware, list(hosts), www_redirect=False))
    if token is not None:
        middleware.append(Middleware(TokenRequired, token))
    application = Starlette(routes=page.routes(), middleware=middleware)
    application.state.feeds = page.feeds
    return application


class _Page:
    """Answers requests; opens its client when the first one comes."""

    def __init__(self, log: CommonLog | BackgroundLog, metric_messages: int) -> None:
        self._log = log
        self._metric_messages = metric_messages
        self.feeds = Feeds(self._open)

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/", self._index),
            Route("/api/stream", self._stream),
            Route("/api/schema", self._schema),
            Route("/api/{part}", self._document),
            Route("/metrics", self._metrics),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def _open(self) -> CommonLog:
        return self._log if isinstance(self._log, CommonLog) else await self._log.open_async()

    async def _index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _schema(self, _: Request) -> Response:
        return FileResponse(SCHEMA, media_type="application/schema+json")

    async def _document(self, request: Request) -> Response:
        part = PARTS.get(request.path_params["part"])
        if part is None:
            return _problem("there is no such document", HTTPStatus.NOT_FOUND)
        try:
            return JSONResponse(
                await part.read(await self._open(), View.parse(request.query_params))
            )
        except InvalidArgumentError as error:
            return _problem(str(error), HTTPStatus.BAD_REQUEST)
        except LogCommonError as error:
            return _problem(str(error), HTTPStatus.SERVICE_UNAVAILABLE)

    async def _stream(self, request: Request) -> Response:
        try:
            view = View.parse(request.query_params)
        except InvalidArgumentError as error:
            return _problem(str(error), HTTPStatus.BAD_REQUEST)
        if not self.feeds.has_room():
            return _problem("too many pages are open", HTTPStatus.SERVICE_UNAVAILABLE)
        return EventSourceResponse(self._events(view), ping=0, send_timeout=30)

    async def _events(self, view: View) -> AsyncGenerator[ServerSentEvent, None]:
        async with contextlib.aclosing(self.feeds.watch(view)) as events:
            async for event in events:
                yield ServerSentEvent(event.data, event=event.name)

    async def _metrics(self, _: Request) -> Response:
        try:
            log = await self._open()
            minutes = await log.minutes(hours=1)
            summary = await log.summary(n=self._metric_messages)
            if summary and hour_of(summary.hour.timestamp()) != hour_of(log.settings.clock()):
                summary = None  # an hour that is over would look as if it went on
        except LogCommonError as error:
            return PlainTextResponse(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(exposition(minutes, summary), media_type=_METRICS_TYPE)


def _problem(text: str, status: HTTPStatus) -> Response:
    return JSONResponse({"trouble": text}, status)


def route(page: ASGIApp) -> Callable[[Request], Awaitable[Response]]:
    """Return the page as an endpoint, for frameworks whose guards don't reach what is mounted.

    FastAPI's dependencies are such guards:

        router = APIRouter(dependencies=[Depends(require_admin)])
        router.add_api_route("/logs/{path:path}", route(app(log, guarded=True)))

    Args:
        page: What `app` has returned. The path of the route must end in `{path:path}`.

    """

    async def endpoint(request: Request) -> Response:
        return _Passed(page)

    return endpoint


class _Passed(Response):
    """Hands a request on to the page, below the path of the route."""

    def __init__(self, page: ASGIApp) -> None:
        super().__init__()
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the page respond."""
        below = scope["path_params"]["path"]
        root = scope["path"].removesuffix(below).rstrip("/")
        await self._page({**scope, "root_path": root}, receive, send)
