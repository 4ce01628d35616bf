"""The `choose` of an application decides what the aiohttp middleware logs."""

from collections import Counter
from typing import cast

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.requests import LogCall, Request, default_choice
from support.aiohttp import app_of, broken, counted, fine, install, running
from support.web import place_of


async def test_the_application_chooses(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given all the facts; it chooses name, message and severity, or None for nothing."""
    seen: list[Request] = []

    def chosen(request: Request) -> LogCall | None:
        seen.append(request)
        if request.status == 200:
            return None
        return LogCall(f"{request.service}-{request.event}", f"{request.status}", "critical")

    app = app_of(fine=fine, broken=broken)
    install(app, log, service="shop", choose=chosen)
    async with running(app) as client:
        for path in ("/fine", "/broken", "/none"):
            await client.get(path)
    assert await counted(valkey, "shop-exception") == {"critical": Counter(["None"])}
    assert await counted(valkey, "shop-response") == {"critical": Counter(["404"])}
    facts = [(each.event, each.method, each.route, each.status) for each in seen]
    assert facts == [
        ("response", "GET", "/fine", 200),
        ("exception", "GET", "/broken", None),
        ("response", "GET", "<no route>", 404),
    ]
    assert [str(each.error) for each in seen] == ["None", "secret", "None"]
    assert not [record for record in caplog.records if record.name == "logcommon"]


async def test_choosing_that_fails_harms_no_request(
    log: logcommon.CommonLog, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """If it raises or returns nonsense, the request is served, not counted, and warned of once."""

    def chosen(request: Request) -> LogCall:
        if request.event == "exception":
            return cast("LogCall", ("web", 5))
        if request.status == 404:
            raise KeyError("secret")
        return default_choice(request)

    app = app_of(fine=fine, broken=broken)
    install(app, log, choose=chosen)
    async with running(app) as client:
        for path, status in {"/none": 404, "/broken": 500, "/fine": 200}.items():
            assert (await client.get(path)).status == status
    assert await counted(valkey) == {"info": Counter(["GET /fine 200"])}
    ours = [record.getMessage() for record in caplog.records if record.name == "logcommon"]
    (warning,) = ours
    assert warning.endswith(f"choosing what to log raised KeyError at {place_of(chosen, 4)}")
