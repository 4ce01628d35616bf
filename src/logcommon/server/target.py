"""What `connect` was given becomes a client; what can't be used, an error that says why.

No error repeats the URL, nor what redis-py says of it, which may quote a password. At most it names
the scheme or an option.
"""

import re
from contextlib import suppress
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.asyncio import Redis, RedisCluster
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from logcommon.exceptions import InvalidArgumentError
from logcommon.server.connection import CLUSTER_UNSUPPORTED, dedicated_connection

_REFUSED = (AttributeError, TypeError, ValueError, RedisError)
"""What redis-py raises for a URL that it can't use."""

_VALKEY = {"valkey": "redis", "valkeys": "rediss"}
_KNOWN = ("redis", "rediss", "unix")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DATABASE = re.compile(r"/?[0-9]*/?")
_FORMS = (
    "redis://HOST:6379/0 (or valkey://), rediss://HOST:6379/0 (or valkeys://) for TLS, "
    "unix:///PATH or embedded:"
)
_ENCODE = "; in a password, percent-encode : / ? # and @"


def client_for(target: object) -> Redis:
    """Return a client for a URL; a `redis.asyncio` client is returned as it is.

    Raises:
        InvalidArgumentError: The target can't be used.

    """
    if isinstance(target, Redis):
        return target
    if isinstance(target, RedisCluster | redis.RedisCluster):
        raise InvalidArgumentError(CLUSTER_UNSUPPORTED)
    if isinstance(target, redis.Redis):
        raise InvalidArgumentError("this is a blocking redis.Redis: give redis.asyncio.Redis")
    if not isinstance(target, str):
        raise InvalidArgumentError(
            f"connect takes a URL or a redis.asyncio client, not {type(target).__name__}"
        )
    return _client_for_url(_with_known_scheme(target))


def _with_known_scheme(url: str) -> str:
    match = _SCHEME.match(url)
    if match is None:
        raise InvalidArgumentError(f"the URL can't be used: it must be like {_FORMS}")
    given = match[1].lower()
    scheme = _VALKEY.get(given, given)
    if scheme not in _KNOWN:
        hint = "; for Sentinel, give Sentinel(...).master_for(NAME)" if "sentinel" in given else ""
        raise InvalidArgumentError(
            f"the URL can't be used: {given}:// is unknown; it must be like {_FORMS}{hint}"
        )
    return scheme + url[len(match[1]) :]


def _client_for_url(url: str) -> Redis:
    fault = _fault_of_address(url)
    if fault is None:
        with suppress(*_REFUSED):
            return _made(url)
        fault = _fault_of_options(urlsplit(url))
    # Not in an `except`: redis-py's error would stay behind ours as its context.
    raise InvalidArgumentError(f"the URL can't be used: {fault}")


def _made(url: str) -> Redis:
    # Given here, else redis-py reads its package's metadata from disk for each connection.
    client = Redis.from_url(url, driver_info=DriverInfo())
    # Otherwise a wrong option would show only at first use.
    dedicated_connection(client)
    client.connection_pool.make_connection()
    return client


def _fault_of_address(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"its host can't be read{_ENCODE}"
    if parts.fragment:
        return f"it must have no #{_ENCODE}"
    if parts.scheme == "unix":
        is_path = parts.path and not parts.hostname
        return None if is_path else "a socket is named like unix:///PATH, with three slashes"
    if not _has_port_or_none(parts):
        return f"its port must be a number from 1 to 65535{_ENCODE}"
    if not _DATABASE.fullmatch(unquote(parts.path)):
        return f"its database must be a number, as in /0{_ENCODE}"
    return None


def _has_port_or_none(parts: SplitResult) -> bool:
    try:
        return parts.port != 0  # which redis-py takes for none
    except ValueError:
        return False


def _fault_of_options(parts: SplitResult) -> str:
    """Return which option of a URL can't be used, found by trying each alone."""
    for name, value in parse_qsl(parts.query):
        try:
            _made(f"{parts.scheme}:///?{urlencode({name: value})}")
        except _REFUSED:
            # With an `@` this may be no query but what follows a `?` in a password.
            if re.fullmatch("[a-z_]+", name) and "@" not in parts.query:
                return f"its option {name} is unknown, or can't have this value"
    return f"one of its options is unknown, or has a value that it can't have{_ENCODE}"
