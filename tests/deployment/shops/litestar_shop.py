"""A shop on Litestar."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from common import CLIENT, COUNTING, SERVICE, bug, logger, started, take
from litestar import Litestar, get
from litestar.response import Stream

from logcommon.integrations.asgi import CommonLogMiddleware


@get("/orders/{number:int}")
async def order(number: int) -> str:
    return take(number)


@get("/stream")
async def stream() -> Stream:
    def chunks() -> Iterator[str]:
        yield from "abc"

    return Stream(chunks())


@get("/bug")
async def fail() -> str:
    return bug()


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if CLIENT is not None:
            await stack.enter_async_context(CLIENT)
        started()
        yield
        logger.info("stopping")


app = CommonLogMiddleware(
    Litestar([order, stream, fail], lifespan=[lifespan]), service=SERVICE, **COUNTING
)
