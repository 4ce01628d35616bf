"""Turns a URL into a redis.asyncio client, or raises an error that says which part is wrong.

No error repeats the URL or redis-py's own error, as they may contain a password. An error names the
scheme or an option at most.
"""

import re
from contextlib import suppress
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import Redis, SSLConnection
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from logcommon.exceptions import InvalidArgumentError
from logcommon.server.connection import dedicated_connection
from logcommon.server.sentinel import FORM, SUFFIX, SentinelUrl

_REFUSED = (AttributeError, TypeError, ValueError, RedisError)
"""What redis-py raises for a URL that it can't use."""

_VALKEY = {"valkey": "redis", "valkeys": "rediss"}
_TCP = ("redis", "rediss")
_KNOWN = (*_TCP, "unix")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DATABASE = re.compile(r"/?[0-9]*/?")
_FORMS = (
    "redis://HOST:6379/0 (or valkey://), rediss://HOST:6379/0 (or valkeys://) for TLS, "
    f"unix:///PATH, {FORM} or embedded:"
)
_ENCODE = "; in a password, percent-encode : / ? # and @"


def check_url(url: str) -> None:
    """Check that a URL can be used, and the files that it names for TLS; nothing is sent.

    Raises:
        InvalidArgumentError: The URL can't be used.

    """
    fault = _fault_of_tls(client_for_url(url), urlsplit(url).query)
    if fault is not None:
        raise InvalidArgumentError(f"the URL can't be used: {fault}")


def client_for_url(url: str) -> Redis:
    """Return a new client for a URL, not yet connected.

    Raises:
        InvalidArgumentError: The URL can't be used.

    """
    url = _with_known_scheme(url)
    if url.partition("://")[0].endswith(SUFFIX):
        return _sentinel_client(url)
    fault = _fault_of_address(url)
    if fault is None:
        with suppress(*_REFUSED):
            return _new_client(url)
        fault = _fault_of_options(urlsplit(url))

    # Not in an `except`: redis-py's error would stay behind ours as its context.
    raise InvalidArgumentError(f"the URL can't be used: {fault}")


def without_credentials(url: str) -> str:
    """Return the scheme, the host and the path of a URL; less if they may contain a password."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme}://…"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _with_known_scheme(url: str) -> str:
    match = _SCHEME.match(url)
    if match is None:
        raise InvalidArgumentError(f"the URL can't be used: it must be like {_FORMS}")

    given = match[1].lower()
    plain = given.removesuffix(SUFFIX)
    scheme = _VALKEY.get(plain, plain)
    if scheme not in (_KNOWN if plain == given else _TCP):
        raise InvalidArgumentError(
            f"the URL can't be used: {given}:// is unknown; it must be like {_FORMS}"
        )
    return scheme + given[len(plain) :] + url[len(match[1]) :]


def _sentinel_client(url: str) -> Redis:
    try:
        parsed = SentinelUrl.parse(url)
    except ValueError as error:
        fault = str(error)
    else:
        return parsed.client(client_for_url(parsed.server_url))
    raise InvalidArgumentError(f"the URL can't be used: {fault}")


def _new_client(url: str) -> Redis:
    # Without this, redis-py reads its package's metadata from disk for each connection.
    client = Redis.from_url(url, driver_info=DriverInfo())
    # These are not connected; a wrong option is an error here, and not at first use.
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
        return parts.port != 0  # redis-py would take 0 for no port
    except ValueError:
        return False


def _fault_of_options(parts: SplitResult) -> str:
    """Return which option of a URL can't be used; each is tried alone."""
    for name, value in parse_qsl(parts.query):
        try:
            _new_client(f"{parts.scheme}:///?{urlencode({name: value})}")
        except _REFUSED:
            # With an `@` it may be no query, but the rest of a password that has a `?` in it.
            if re.fullmatch("[a-z_]+", name) and "@" not in parts.query:
                return f"its option {name} is unknown or has an invalid value"

    return f"one of its options is unknown or has an invalid value{_ENCODE}"


def _fault_of_tls(client: Redis, query: str) -> str | None:
    """Load the files that a URL's options for TLS name; return what is wrong with them."""
    options = [name for name, _ in parse_qsl(query) if name.startswith("ssl_")]
    connection = client.connection_pool.make_connection()
    if not options or not isinstance(connection, SSLConnection):
        return None

    named = f"its option {' or '.join(options)} can't be used"
    try:
        connection.ssl_context.get()
    except OSError as error:  # ssl.SSLError is one
        return f"{named}: {error.args[-1]}"
    except (TypeError, ValueError):
        return named
    return None
