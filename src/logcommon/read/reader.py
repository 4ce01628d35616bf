"""What Redis holds, as rows. Other programs may write to the same keys, and not as we do."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from logcommon.exceptions import InvalidArgumentError, ServerRefusedError
from logcommon.model import (
    FIRST_HOUR,
    CommonRow,
    Destination,
    Hour,
    RecentRow,
    Severity,
    hour_of,
    hour_start,
    parse_recent,
)
from logcommon.schema.commands import EXEC, MULTI, Command, Reply
from logcommon.schema.keys import REGISTRY, DestinationKeys, destination_keys, parse_registered
from logcommon.schema.rotation import HourState
from logcommon.server.connection import exchange, pooled_connection
from logcommon.server.errors import translate
from logcommon.settings import Settings

_MOST = 2**53
"""Above this, adding 1 to a score no longer changes it."""


class Reader:
    """Reads through a client's own pool; each method is one transaction, so it sees one moment.

    Every method raises ServerUnavailableError if Redis can't be reached, ServerRefusedError, which
    names the key, if it refuses a command, and ClusterUnsupportedError if it is a cluster.
    """

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def top(
        self, name: str, severity: Severity, n: int, hour: datetime | None
    ) -> list[CommonRow]:
        """Return the `n` most common messages of `hour`, of the current one if it is None."""
        last = _last_index(n)
        wanted = hour_of(self._settings.clock()) if hour is None else _hour_in(hour)
        keys = destination_keys(Destination.of(name, severity))
        sets = (keys.current, keys.last, keys.hour(wanted))
        values, found, *ranges = await self._read(
            *_read_hours(keys),
            *((b"ZREVRANGE", key, 0, last, b"WITHSCORES") for key in sets),
        )
        state = _state(keys, values, found)
        # What `current` and `last` hold is for `:start` and `:pstart` to say.
        which = {state.previous: 1, state.start: 0}.get(wanted, 2)
        return [CommonRow(_count(score), _text(member)) for member, score in _pairs(ranges[which])]

    async def recent(self, name: str, severity: Severity, n: int) -> list[RecentRow]:
        """Return the `n` newest entries, newest first."""
        keys = destination_keys(Destination.of(name, severity))
        (entries,) = await self._read((b"LRANGE", keys.recent, 0, _last_index(n)))
        return [parse_recent(_text(entry)) for entry in entries]

    async def destinations(self) -> list[Destination]:
        """Return every destination that was logged to through this package, in order."""
        (members,) = await self._read((b"SMEMBERS", REGISTRY))
        return sorted(filter(None, map(parse_registered, members)))

    async def hours(self, name: str, severity: Severity) -> list[datetime]:
        """Return the hours that have counts, newest first, as their first moments in UTC."""
        keys = destination_keys(Destination.of(name, severity))
        seen = _state(keys, *await self._read(*_read_hours(keys)))
        while True:
            older = self._older_hours(seen)
            sets = (keys.current, keys.last, *map(keys.hour, older))
            values, strings, *found = await self._read(
                *_read_hours(keys), *((b"EXISTS", key) for key in sets)
            )
            before, seen = seen, _state(keys, values, strings)
            if seen == before:  # else the hour has just turned: look again
                hours = (seen.start, seen.previous, *older)
                return [
                    hour_start(hour)
                    for hour, is_held in zip(hours, found, strict=True)
                    if is_held and hour is not None
                ]

    def _older_hours(self, state: HourState) -> Sequence[Hour]:
        if state.previous is None:
            return ()
        oldest = max(state.previous - self._settings.history_hours, FIRST_HOUR)
        return range(state.previous - 1, oldest - 1, -1)

    async def _read(self, *commands: Command) -> list[Reply]:
        try:
            async with pooled_connection(self._client) as connection:
                replies = await exchange(connection, [MULTI, *commands, EXEC])
        except (RedisError, OSError) as error:
            raise translate(error) from None
        # Where EXEC was refused, so was a command before it, which is the one to name.
        results: list[Reply] = replies[-1] if isinstance(replies[-1], list) else replies[1:]
        for command, result in zip((*commands, EXEC), results, strict=False):
            if isinstance(result, ResponseError):
                raise translate(result, command)
        return results


def _read_hours(keys: DestinationKeys) -> tuple[Command, Command]:
    # MGET returns nil for a key of another type, which EXISTS finds all the same.
    both = (keys.start, keys.previous_start)
    return (b"MGET", *both), (b"EXISTS", *both)


def _state(keys: DestinationKeys, values: Sequence[bytes | None], found: int) -> HourState:
    if found > sum(value is not None for value in values):
        names = " or ".join(_text(key) for key in (keys.start, keys.previous_start))
        raise ServerRefusedError(f"{names} can't be read: it is no string, so not ours; delete it")
    return HourState.read(*values)


def _last_index(n: int) -> int:
    if not isinstance(n, int) or n < 1:
        raise InvalidArgumentError(f"n must be a whole number of at least 1, not {n!r}")
    return n - 1


def _hour_in(moment: datetime) -> Hour:
    if not isinstance(moment, datetime):
        raise InvalidArgumentError(f"hour must be a datetime, not {type(moment).__name__}")
    return hour_of((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _count(score: float) -> int:
    """Return a score as a count; one that is infinite, as the most that Redis counts exactly."""
    return int(score) if math.isfinite(score) else int(math.copysign(_MOST, score))


def _pairs(members: Reply) -> Iterable[tuple[bytes, Reply]]:
    """Return (member, score), which RESP3 sends as pairs and RESP2 as one flat list."""
    if members and isinstance(members[0], bytes):
        return zip(members[::2], map(float, members[1::2]), strict=True)
    return [(member, score) for member, score in members]


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")
