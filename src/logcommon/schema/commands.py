"""The commands that a transaction of ours is made of. Pure."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from logcommon.model import RECENT_LENGTH, Destination, encode_message, recent_text
from logcommon.schema.keys import REGISTRY, DestinationKeys, destination_keys

Command: TypeAlias = tuple[bytes | int, ...]
"""A Redis command with its arguments."""

Reply: TypeAlias = Any
"""What Redis answers: bytes, numbers, None, lists of these, or a ResponseError."""

MULTI: Command = (b"MULTI",)
EXEC: Command = (b"EXEC",)


def count(target: bytes, amount: int, message: str) -> Command:
    """Count `message` `amount` times more in the set `target`."""
    return (b"ZINCRBY", target, amount, encode_message(message))


def push_recent(
    keys: DestinationKeys, entries: Iterable[tuple[str, float]]
) -> tuple[Command, Command]:
    """Put entries, (message, seconds since the epoch), oldest first, on top of the recent log."""
    texts = (encode_message(recent_text(message, seconds)) for message, seconds in entries)
    return (
        (b"LPUSH", keys.recent, *texts),
        (b"LTRIM", keys.recent, 0, RECENT_LENGTH - 1),
    )


def register(destinations: Iterable[Destination]) -> Command:
    """Enter destinations in the registry."""
    return (b"SADD", REGISTRY, *(destination_keys(each).registered for each in destinations))
