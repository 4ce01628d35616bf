"""Exceptions and missing responses, as the WSGI middleware counts them."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from redis.asyncio import Redis

import logcommon
from support.web import counted
from support.wsgi import ROUTE, Environ, Start, server

FILE = f"{__name__.replace('.', '/')}.py"


class Failing:
    """A body that fails in one of its methods."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __iter__(self) -> Iterator[bytes]:
        self._fail("iter")
        yield b"a"
        self._fail("next")

    def close(self) -> None:
        self._fail("close")

    def _fail(self, where: str) -> None:
        if self._where == where:
            raise ZeroDivisionError("of secret text")


@pytest.mark.parametrize("where", ["call", "iter", "next", "close"])
async def test_an_exception_counts_and_passes(
    log: logcommon.CommonLog, valkey: Redis, where: str
) -> None:
    """It counts once, whether the application, its body or the body's `close` raises it."""

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ |= ROUTE
        if where == "call":
            raise ZeroDivisionError("of secret text")
        start_response("200 OK", [])
        return Failing(where)

    with pytest.raises(ZeroDivisionError):
        server(app, log).ask("GET /")
    ((severity, messages),) = (await counted(log, valkey)).items()
    (message,) = messages.elements()
    assert severity == "error"
    assert message.startswith(f"GET /it ZeroDivisionError at {FILE}:")


async def test_an_error_page_counts_as_its_exception(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """`exc_info` is passed to the server, and the application gets the server's `write`."""

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        try:
            raise ValueError("of secret text")
        except ValueError:
            write = start_response("500 Oops", [], sys.exc_info())
        write(b"an error")
        return []

    shop = server(app, log)
    assert shop.ask("GET /") == b""
    assert (shop.written, shop.exc_info[0]) == ([b"an error"], ValueError)
    (message,) = (await counted(log, valkey))["error"].elements()
    assert message.startswith(f"GET <no route> ValueError at {FILE}:")


async def test_an_application_that_does_not_answer_is_a_500(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """A server sends a 500 in that case."""
    server(lambda *_: [], log).ask("GET /")
    assert await counted(log, valkey) == {"error": Counter({"GET <no route> 500": 1})}
