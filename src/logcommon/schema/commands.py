"""The commands that our transactions are made of. No I/O."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from logcommon.model import (
    HOUR_SECONDS,
    RECENT_LENGTH,
    Destination,
    Mark,
    Minute,
    Mute,
    encode_message,
    recent_text,
)
from logcommon.schema.keys import (
    MARKS,
    MUTES,
    REGISTRY,
    DestinationKeys,
    claims_key,
    destination_keys,
    examples_key,
    minutes_key,
)

Command: TypeAlias = tuple[bytes | int, ...]
"""A Redis command with its arguments."""

Reply: TypeAlias = Any
"""What Redis answers: bytes, a number, None, a list of these, or a ResponseError."""

MOST_MARKS = 100
CLAIM_SECONDS = 2 * HOUR_SECONDS
"""How long claims are kept: through the hour that they are of, on any clock."""

MULTI: Command = (b"MULTI",)
EXEC: Command = (b"EXEC",)


def count(key: bytes, amount: int, message: str) -> Command:
    """Return the command that adds `amount` to the count of `message` in the set `key`."""
    return (b"ZINCRBY", key, amount, encode_message(message))


def set_examples(key: bytes, examples: Mapping[str, str]) -> Command:
    """Return the command that sets an example for each of these templates in the set `key`."""
    texts = chain.from_iterable(examples.items())
    return (b"HSET", examples_key(key), *map(encode_message, texts))


def count_minute(key: bytes, minute: Minute, amount: int) -> Command:
    """Return the command that adds `amount` to the calls of a minute in the hour of the set."""
    return (b"HINCRBY", minutes_key(key), minute, amount)


def push_mark(mark: Mark) -> tuple[Command, Command]:
    """Return the commands that note a mark and keep the newest."""
    entry = f"{mark.time.isoformat(timespec='microseconds')} {mark.text}"
    return (b"LPUSH", MARKS, encode_message(entry)), (b"LTRIM", MARKS, 0, MOST_MARKS - 1)


def put_mute(mute: Mute, over: Sequence[str]) -> tuple[Command, ...]:
    """Return the commands that mute a message, and delete the mutes that are over."""
    entry = {
        "since": mute.since.timestamp(),
        "until": None if mute.until is None else mute.until.timestamp(),
        "until_rises": mute.until_rises,
        "before": [[*each, *counted] for each, counted in mute.before.items()],
    }
    text = json.dumps(entry).encode()
    return (*delete_mutes(over), (b"HSET", MUTES, encode_message(mute.message), text))


def delete_mutes(messages: Sequence[str]) -> tuple[Command, ...]:
    """Return the command that deletes mutes, if there are any to delete."""
    return ((b"HDEL", MUTES, *map(encode_message, messages)),) if messages else ()


def claim(hour: str, names: Sequence[str]) -> tuple[Command, ...]:
    """Return the commands that claim alerts of an hour, each for whoever is the first."""
    key = claims_key(hour)
    taken: list[Command] = [(b"SADD", key, name.encode()) for name in names]
    return (*taken, (b"EXPIRE", key, CLAIM_SECONDS))


def push_recent(
    keys: DestinationKeys, entries: Iterable[tuple[str, float]]
) -> tuple[Command, Command]:
    """Return the commands that put entries on top of the recent log and keep the newest 100.

    Args:
        keys: The destination's keys.
        entries: A message and the time it was logged (seconds since the epoch), oldest first.

    """
    texts = (encode_message(recent_text(message, seconds)) for message, seconds in entries)
    return (
        (b"LPUSH", keys.recent, *texts),
        (b"LTRIM", keys.recent, 0, RECENT_LENGTH - 1),
    )


def register(destinations: Iterable[Destination]) -> Command:
    """Return the command that adds destinations to the registry."""
    return (b"SADD", REGISTRY, *(destination_keys(each).registered for each in destinations))
