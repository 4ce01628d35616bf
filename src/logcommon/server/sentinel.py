"""Turns a URL of Sentinel into a client of the server that Sentinel names as the primary."""

from typing import Any, NamedTuple, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import Redis, SSLConnection
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

SUFFIX = "+sentinel"
FORM = "redis+sentinel://HOST:26379,HOST:26379/SERVICE/0"

_DEFAULT_PORT = 26379
_TIMEOUT = 2.0
"""Seconds until the next sentinel is asked."""

_OF_SENTINEL = ("username", "password")
"""Options with the prefix `sentinel_` that are for the sentinels themselves."""


class SentinelUrl(NamedTuple):
    """What a URL of Sentinel says."""

    sentinels: list[tuple[str, int]]
    service: str
    server_url: str
    """The same as the URL of a server: credentials, database and options, and any host."""
    credentials: dict[str, str]
    """For the sentinels."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the parts of a URL.

        Raises:
            ValueError: It can't be used; the text says which part, and nothing of it.

        """
        parts = _split(url)
        login, _, hosts = parts.netloc.rpartition("@")
        service, _, database = parts.path.removeprefix("/").partition("/")
        if not service:
            raise ValueError(f"it must name the service, as in {FORM}")

        options = parse_qsl(parts.query, keep_blank_values=True)
        credentials = {
            name: value
            for each in _OF_SENTINEL
            for name, value in options
            if name == f"sentinel_{each}"
        }
        rest = [option for option in options if option[0] not in credentials]
        server = SplitResult(
            parts.scheme.removesuffix(SUFFIX),
            f"{login}@localhost" if login else "localhost",
            f"/{database}",
            urlencode(rest),
            parts.fragment,
        )
        return cls(
            [_address(each) for each in hosts.split(",")],
            unquote(service),
            server.geturl(),
            {name.removeprefix("sentinel_"): value for name, value in credentials.items()},
        )

    def client(self, like: Redis) -> Redis:
        """Return a client of the primary, with the options of a client for `server_url`."""
        pool = like.connection_pool
        options: dict[str, Any] = {
            name: value
            for name, value in pool.connection_kwargs.items()
            if name not in ("host", "port")
        }
        of_sentinels: dict[str, Any] = {
            **self.credentials,
            "socket_timeout": _TIMEOUT,
            "socket_connect_timeout": _TIMEOUT,
        }
        if issubclass(pool.connection_class, SSLConnection):
            options["ssl"] = True
            of_sentinels |= {name: options[name] for name in options if name.startswith("ssl")}
        sentinel = Sentinel(self.sentinels, sentinel_kwargs=of_sentinels, **options)
        primary: Redis = sentinel.master_for(self.service)
        return primary


async def close_sentinels(client: Redis) -> None:
    """Close the connections to sentinels, which redis-py leaves open with a client's."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its text may have a password in it
        pass
    raise ValueError("its hosts can't be read; in a password, percent-encode : / ? # [ ] and @")


def _address(host: str) -> tuple[str, int]:
    parts = _split(f"//{host}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:
        raise ValueError("each sentinel must be HOST or HOST:PORT, separated by commas")
    return parts.hostname, port or _DEFAULT_PORT
