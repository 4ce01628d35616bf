"""The names of the keys in Redis: the book's layout, and the few keys that we add. No I/O."""

import re
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Destination, Hour, hour_text

REGISTRY = b"logcommon:destinations"
"""SET: every `NAME:SEVERITY` that was logged to, so that readers need not scan the key space."""

MARKS = b"logcommon:marks"
"""LIST: the newest marks, newest first: `2026-11-25T10:00:00.000000+00:00 text`."""

MUTES = b"logcommon:mutes"
"""HASH: message → since when and until when it is muted, as JSON."""

_COMMON = b"common:"
_RECENT = b"recent:"

_GLOB_SPECIAL = re.compile(r"[*?\[\]\\]")

# A `%` is encoded only before two hexadecimal digits, so most names stay as the book writes them.
# Lone surrogates can't be encoded as UTF-8.
_BREAKS_LAYOUT = re.compile(r"%(?=[0-9A-Fa-f]{2})|[:{}\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _percent_encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def encode_part(text: str) -> str:
    """Return `text` with the characters that would break the key layout percent-encoded."""
    return _BREAKS_LAYOUT.sub(_percent_encode, text)


def decode_part(text: str) -> str:
    """Return the text that `encode_part` encoded."""
    return unquote(text, errors="surrogatepass")


class DestinationKeys(NamedTuple):
    """The keys of one destination."""

    current: bytes
    """ZSET: the current hour, message → count."""
    start: bytes
    """String: which hour `current` is."""
    last: bytes
    """ZSET: the last active hour before it."""
    previous_start: bytes
    """String: which hour `last` is."""
    recent: bytes
    """LIST: the newest entries, newest first."""
    registered: bytes
    """The destination's member of the registry."""

    def hour(self, hour: Hour) -> bytes:
        """Return the ZSET of an hour older than `last`."""
        return b"%s:%s" % (self.current, hour_text(hour).encode())


@lru_cache(maxsize=4096)
def destination_keys(destination: Destination) -> DestinationKeys:
    """Return the keys of `destination`."""
    path = f"{encode_part(destination.name)}:{encode_part(destination.severity)}".encode()
    current = _COMMON + path
    return DestinationKeys(
        current=current,
        start=current + b":start",
        last=current + b":last",
        previous_start=current + b":pstart",
        recent=_RECENT + path,
        registered=path,
    )


def parse_registered(member: bytes) -> Destination | None:
    """Return the destination that a member of the registry names, None if the member isn't ours."""
    name, _, severity = member.decode("utf-8", "replace").partition(":")
    if ":" in severity:
        return None
    with suppress(InvalidArgumentError):
        return Destination.of(decode_part(name), decode_part(severity))
    return None


def service_patterns(name: str) -> tuple[bytes, ...]:
    """Return the glob patterns, as SCAN takes them, of all keys of one service."""
    path = _GLOB_SPECIAL.sub(r"\\\g<0>", encode_part(name)).encode()
    return (_COMMON + path + b":*", _RECENT + path + b":*")


def examples_key(key: bytes) -> bytes:
    """Return the HASH beside the set `key`: template → one of the messages counted as it."""
    return key + b":examples"


def minutes_key(key: bytes) -> bytes:
    """Return the HASH beside the set `key`: minute since the epoch → calls in it."""
    return key + b":minutes"


def with_hashes(key: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the key of a set, and those of the hashes beside it, which rotate with it."""
    return key, examples_key(key), minutes_key(key)


def claims_key(hour: str) -> bytes:
    """Return the SET of the alerts of an hour that were taken by a watcher."""
    return b"logcommon:claims:" + hour.encode()


def marker_key(producer: str) -> bytes:
    """Return the key that holds the number of a producer's last committed batch."""
    return b"logcommon:producer:" + producer.encode()
