"""The `choose` of an application decides what the ASGI middleware logs."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from starlette.routing import Route

import logcommon
from logcommon.integrations import requests
from support.asgi import ask, client_of, hello, shop
from support.web import counted


async def test_choose_decides(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given all the facts, and chooses name, message and severity, or logs nothing."""
    seen: list[requests.Request] = []

    def choose(request: requests.Request) -> requests.LogCall | None:
        seen.append(request)
        if request.route == "/health":
            return None
        return requests.LogCall("other", f"{request.method} took part", "warning")

    app = shop(Route("/health", hello), Route("/", hello), log=log, choose=choose)
    await ask(app, "GET /", "GET /health")
    assert await counted(log, valkey, "other") == {"warning": Counter({"GET took part": 1})}
    assert await counted(log, valkey) == {}
    assert [(each.event, each.service, each.route, each.status) for each in seen] == [
        ("response", "web", "/", 200),
        ("response", "web", "/health", 200),
    ]
    assert (seen[0].error, caplog.records) == (None, [])
    assert 0 <= seen[0].seconds <= seen[1].seconds + 60


@pytest.mark.parametrize("chosen", [lambda _: 1 / 0, lambda _: ("",) * 2, lambda _: 1])
async def test_a_choice_that_fails_harms_nobody(
    log: logcommon.CommonLog,
    caplog: pytest.LogCaptureFixture,
    chosen: Callable[[requests.Request], Any],
) -> None:
    """The response is sent, nothing is counted, and one warning omits the text of the error."""
    async with client_of(shop(Route("/", hello), log=log, choose=chosen)) as client:
        for _ in range(3):
            assert (await client.get("/")).text == "hello"
    assert log.stats.calls == 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("logcommon", logging.WARNING)
    assert record.message.startswith("a request was not counted: ")
    assert "zero" not in record.message
