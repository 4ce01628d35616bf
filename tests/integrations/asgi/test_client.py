"""The client of the ASGI middleware: a URL or a client, opened or not, with a lifespan or not."""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware, lifespan
from support.asgi import Message, ask, hello, served, shop
from support.layout import read_counts
from support.until import until
from support.web import counted


@pytest.mark.parametrize("entered", [True, False])
async def test_without_redis_every_response_is_sent(entered: bool) -> None:
    """If no server listens or the client is never opened, counts are kept and no request waits."""
    log = logcommon.connect("redis://127.0.0.1:1", drain_timeout=0)
    app = Starlette(routes=[Route("/", hello)], lifespan=lifespan(log) if entered else None)
    app.add_middleware(CommonLogMiddleware, log=log)
    async with served(app) as port, httpx.AsyncClient() as client:
        for _ in range(5):
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"
        assert (log.stats.calls, log.stats.pending) == (5, 5)
    assert log.stats.dropped == (5 if entered else 0)


async def test_the_lifespan_owns_the_client(valkey_url: str, valkey: Redis) -> None:
    """The client opens before startup, and is drained and closed after shutdown."""
    log = logcommon.connect(valkey_url, linger=3600)

    @asynccontextmanager
    async def inner(app: Starlette) -> AsyncIterator[dict[str, str]]:
        await log.log_common("web", "starting")
        yield {"database": "of the application"}
        await log.log_common("web", "stopping")

    async def state(request: Request) -> Response:
        return PlainTextResponse(request.state.database)

    app = Starlette(routes=[Route("/", state)], lifespan=lifespan(log, inner))
    app.add_middleware(CommonLogMiddleware, log=log)
    async with served(app) as port, httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/")
    assert response.text == "of the application"
    assert log.stats.counted == log.stats.calls == 3
    found = await read_counts(valkey, "web")
    assert sum(found.values(), Counter()) == Counter({"starting": 1, "stopping": 1, "GET / 200": 1})
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()


async def messages_of(valkey: Redis, name: str) -> "Counter[str]":
    """Return what Redis counts for a service, in all hours together."""
    return sum((await read_counts(valkey, name)).values(), Counter())


async def test_with_a_url_nothing_need_be_opened(valkey_url: str, valkey: Redis) -> None:
    """A mounted application gets no lifespan; its handlers can still wait for commits, and read."""

    async def order(request: Request) -> Response:
        client: logcommon.CommonLog = request.scope["logcommon"]
        await client.log_common("shop", "order taken")
        return PlainTextResponse(
            str([(row.count, row.message) for row in await client.top("shop")])
        )

    inner = shop(Route("/orders/{id}", order), log=valkey_url, service="shop", linger=0)
    app = Starlette(routes=[Mount("/", inner)])
    async with served(app) as port, httpx.AsyncClient() as client:
        first, *_ = [await client.get(f"http://127.0.0.1:{port}/orders/{n}") for n in range(20)]
    assert first.text == "[(1, 'order taken')]"

    async def all_there() -> bool:
        return await messages_of(valkey, "shop") == {"GET /orders/{id} 200": 20, "order taken": 20}

    await until(all_there)


async def test_with_a_url_the_lifespan_ends_when_it_is_written(
    valkey_url: str, valkey: Redis
) -> None:
    """Redis has every count before the server learns that the shutdown is complete."""
    sent: list[str] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(events)}

    async def send(message: Message) -> None:
        sent.append(message["type"])
        if sent[-1] == "lifespan.shutdown.complete":
            assert await messages_of(valkey, "shop") == {"GET / 200": 3}

    app = CommonLogMiddleware(
        Starlette(routes=[Route("/", hello)]), valkey_url, service="shop", linger=3600
    )
    await ask(app, "GET /")

    async def one_is_there() -> bool:
        return bool(await messages_of(valkey, "shop"))

    await until(one_is_there)
    await ask(app, "GET /", "GET /")  # the next commit is an hour away
    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_with_a_url_and_without_redis_every_response_is_sent() -> None:
    """No request waits for the thread, and the lifespan waits for `drain_timeout` at most."""
    app = Starlette(routes=[Route("/", hello)])
    app.add_middleware(CommonLogMiddleware, log="redis://127.0.0.1:1", drain_timeout=0)
    async with served(app) as port, httpx.AsyncClient() as client:
        for _ in range(5):
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"


async def test_with_a_url_settings_are_those_of_connect(valkey_url: str) -> None:
    """They are checked at once; with a client they are refused, since it has its own."""
    app = Starlette()
    with pytest.raises(logcommon.InvalidArgumentError, match="linger must be"):
        CommonLogMiddleware(app, valkey_url, linger=-1)
    with pytest.raises(logcommon.InvalidArgumentError, match="pass linger where it is made"):
        CommonLogMiddleware(app, logcommon.connect(valkey_url), linger=1)
    with pytest.raises(logcommon.InvalidArgumentError, match="needs no lifespan"):
        lifespan(valkey_url)  # type: ignore[arg-type]


async def test_a_client_that_is_not_open_is_warned_of_once(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning says what to do; what was counted before the client opens is written then."""
    log = logcommon.connect(valkey_url)
    app = shop(Route("/", hello), log=log)
    await ask(app, "GET /", "GET /", "GET /")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("logcommon", logging.WARNING)
    assert "open it when the application starts" in record.message
    assert "lifespan=lifespan(log)" in record.message

    async with log:
        await ask(app, "GET /")
        assert await counted(log, valkey) == {"info": Counter({"GET / 200": 4})}
    assert len(caplog.records) == 1


async def test_a_startup_that_fails_closes_the_client(valkey_url: str) -> None:
    """The application's own exception is raised unchanged."""
    log = logcommon.connect(valkey_url)

    @asynccontextmanager
    async def inner(app: object) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield  # type: ignore[unreachable]

    with pytest.raises(ValueError, match="no database"):
        async with lifespan(log, inner)(None):
            raise AssertionError
    with pytest.raises(logcommon.ClientClosedError):
        await log.flush()
