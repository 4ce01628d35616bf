"""The client of the WSGI middleware: a URL or a client, opened or not."""

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.background import log_for
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations.wsgi import CommonLogMiddleware
from support.layout import read_counts
from support.until import until
from support.web import counted
from support.wsgi import Environ, Start, plain, server


async def test_with_a_url_it_writes_from_a_thread(valkey_url: str, valkey: Redis) -> None:
    """The application opens nothing, and finds the client in the environ."""

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        environ["logcommon.log"].log_common_nowait("shop", "order taken")
        return plain(environ, start_response)

    shop = server(app, valkey_url, service="shop", linger=0)
    for _ in range(100):
        shop.ask("GET /")

    async def all_there() -> bool:
        found = await read_counts(valkey, "shop")
        return sum(found.values(), Counter()) == {"GET /it 200": 100, "order taken": 100}

    await until(all_there)


async def test_a_client_that_is_not_open_is_warned_of_once(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning says what to do; what was counted before the client opens is written then."""
    log = logcommon.connect(valkey_url)
    shop = server(plain, log)
    for _ in range(3):
        shop.ask("GET /")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("logcommon", logging.WARNING)
    assert "open it when the application starts" in record.message
    assert "pass a URL instead" in record.message

    async with log:
        shop.ask("GET /")
        assert await counted(log, valkey) == {"info": Counter({"GET /it 200": 4})}
    assert len(caplog.records) == 1


def test_an_open_client_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A client in the background opens itself, so nothing warns."""
    requests = RequestLog(log_for("redis://127.0.0.1:1", {}), "web", lambda _: None)
    requests.count("response", "GET", lambda: "/", 0.0, 200)
    assert caplog.records == []


def test_bad_arguments_are_refused_at_once() -> None:
    """A bad URL, service or setting raises before any request."""
    log = logcommon.connect()
    with pytest.raises(logcommon.InvalidArgumentError, match="URL"):
        CommonLogMiddleware(plain, "postgres://localhost")
    with pytest.raises(logcommon.InvalidArgumentError):
        CommonLogMiddleware(plain, log, service="")
    with pytest.raises(logcommon.InvalidArgumentError, match="pass linger where it is made"):
        CommonLogMiddleware(plain, log, linger=1)


def test_it_imports_no_framework() -> None:
    """It needs neither Flask nor Django."""
    program = (
        "import sys, logcommon.integrations.wsgi;"
        "print(sys.modules.keys() & {'flask', 'django', 'werkzeug'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "set()\n"
