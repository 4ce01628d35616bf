"""A shop on Starlette, and one in an application that doesn't pass the lifespan on."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from common import CLIENT, COUNTING, SERVICE, bug, handler_of_server, logger, started, take
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from logcommon.integrations.asgi import CommonLogMiddleware


async def order(request: Request) -> Response:
    return PlainTextResponse(take(request.path_params["number"]))


async def stream(request: Request) -> Response:
    def chunks() -> Iterator[str]:
        yield from "abc"

    return StreamingResponse(chunks())


async def fail(request: Request) -> Response:
    return PlainTextResponse(bug())


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if CLIENT is not None:
            await stack.enter_async_context(CLIENT)
        started()
        yield
        logger.info("stopping")


app = Starlette(
    routes=[Route("/orders/{number:int}", order), Route("/stream", stream), Route("/bug", fail)],
    lifespan=lifespan,
)
app.add_middleware(CommonLogMiddleware, service=SERVICE, **COUNTING)

logging.getLogger("uvicorn.access").addHandler(handler_of_server())

mounted = Starlette(routes=[Mount("/", app)])
