"""Of `logcommon.server.target`: a target is opened, described and closed."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel

import logcommon
from logcommon import InvalidArgumentError
from logcommon.server.target import Target

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (redis.Redis(password=SECRET), "give a redis.asyncio.Redis"),
        (42, "a URL or a redis.asyncio client, not int"),
    ],
)
def test_anything_but_a_target_is_refused(target: Any, said: str) -> None:
    """The error says what to give instead, and nothing that may be secret."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        logcommon.connect(target)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


async def test_a_client_of_a_cluster_is_refused() -> None:
    """A cluster's client is an error that says clusters are not supported."""
    with pytest.raises(InvalidArgumentError, match="Redis Cluster is not supported"):
        logcommon.connect(RedisCluster(host="localhost"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (f"redis://user:{SECRET}@host:1/0?password={SECRET}", "redis://host:1/0"),
        (f"redis://host/0?password=se@{SECRET}", "redis://…"),
        (f"unix:///run/valkey.sock?password={SECRET}", "unix:///run/valkey.sock"),
        ("embedded:", "embedded:"),
        ("embedded:/var/lib/me@home", "embedded:/var/lib/me@home"),
        (Redis(host="host", username="user", password=SECRET), "redis://host:6379/0"),
        (Redis(host="host", db=3, password=SECRET, ssl=True), "rediss://host:6379/3"),
        (Redis.from_url(f"redis://u:{SECRET}@host:1/2?password={SECRET}"), "redis://host:1/2"),
        (Redis(unix_socket_path="/run/valkey.sock", password=SECRET), "unix:///run/valkey.sock"),
        (Sentinel([("host", 1)]).master_for("shop", password=SECRET), "Sentinel master shop"),
    ],
)
def test_its_text_names_the_place_without_credentials(target: object, text: str) -> None:
    """It says where the data goes, and contains no password."""
    assert str(Target(target)) == text


async def test_the_callers_client_stays_open(valkey: Redis) -> None:
    """The caller's client is used as it is, and closing the target does not close it."""
    async with Target(valkey).opened() as client:
        assert client is valkey
        assert await client.ping()
    assert valkey.connection_pool.get_connection_count()


async def test_a_client_for_a_url_is_closed(valkey_url: str) -> None:
    """A client that was made for a URL leaves no connection behind."""
    async with Target(valkey_url).opened() as client:
        connection = await client.connection_pool.get_connection()
        assert connection.is_connected
    assert not connection.is_connected


async def test_a_client_is_closed_if_a_scope_is_cancelled(valkey_url: str) -> None:
    """A cancelled scope of anyio cancels every await in it, but not the closing."""
    with anyio.CancelScope() as scope:
        async with Target(valkey_url).opened() as client:
            connection = await client.connection_pool.get_connection()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not connection.is_connected


@pytest.mark.parametrize("during", ["start", "use"])
async def test_a_cancellation_leaves_no_embedded_server(directory: Path, during: str) -> None:
    """If its user is cancelled while it starts or runs, the embedded server is stopped."""
    used = asyncio.Event()

    async def use() -> None:
        async with Target(f"embedded:{directory}").opened() as client:
            await client.ping()
            used.set()
            await asyncio.Event().wait()

    using = asyncio.create_task(use())
    await (asyncio.sleep(0) if during == "start" else used.wait())
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert (directory / "server.log").exists()
    assert not (directory / "server.sock").exists()
