"""What Redis holds, as rows."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from logcommon.commands import EXEC, MULTI, Command, Reply
from logcommon.exceptions import InvalidArgumentError
from logcommon.keys import REGISTRY, DestinationKeys, destination_keys, parse_registered
from logcommon.model import (
    CommonRow,
    Destination,
    Hour,
    RecentRow,
    Severity,
    hour_of,
    hour_start,
    parse_recent,
)
from logcommon.rotation import HourState
from logcommon.settings import Settings
from logcommon.wire import exchange, pooled_connection, translate


class Reader:
    """Reads through a client's own pool; each method is one transaction, so it sees one moment.

    Every method raises ServerUnavailableError where Redis can't be reached and ServerRefusedError
    where it refuses a command.
    """

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def top(
        self, name: str, severity: Severity, n: int, hour: datetime | None
    ) -> list[CommonRow]:
        """Return the `n` most common messages of `hour`, of the current one where it is None."""
        last = _last_index(n)
        wanted = hour_of(self._settings.clock() if hour is None else _seconds(hour))
        keys = destination_keys(Destination.of(name, severity))
        sets = (keys.current, keys.last, keys.hour(wanted))
        values, *ranges = await self._read(
            _read_hours(keys),
            *((b"ZREVRANGE", key, 0, last, b"WITHSCORES") for key in sets),
        )
        state = HourState.read(*values)
        # What `current` and `last` hold is for `:start` and `:pstart` to say.
        which = {state.previous: 1, state.start: 0}.get(wanted, 2)
        return [CommonRow(int(score), _text(member)) for member, score in _pairs(ranges[which])]

    async def recent(self, name: str, severity: Severity, n: int) -> list[RecentRow]:
        """Return the `n` newest entries, newest first."""
        keys = destination_keys(Destination.of(name, severity))
        (entries,) = await self._read((b"LRANGE", keys.recent, 0, _last_index(n)))
        return [parse_recent(_text(entry)) for entry in entries]

    async def destinations(self) -> list[Destination]:
        """Return every destination that was logged to through this package, in order."""
        (members,) = await self._read((b"SMEMBERS", REGISTRY))
        return sorted(map(parse_registered, members))

    async def hours(self, name: str, severity: Severity) -> list[datetime]:
        """Return the hours that have counts, newest first, as their first moments in UTC."""
        keys = destination_keys(Destination.of(name, severity))
        (values,) = await self._read(_read_hours(keys))
        while True:
            seen = HourState.read(*values)
            older = self._older_hours(seen)
            sets = (keys.current, keys.last, *map(keys.hour, older))
            values, *found = await self._read(
                _read_hours(keys), *((b"EXISTS", key) for key in sets)
            )
            if HourState.read(*values) == seen:  # else the hour has just turned: look again
                hours = (seen.start, seen.previous, *older)
                return [
                    hour_start(hour)
                    for hour, is_held in zip(hours, found, strict=True)
                    if is_held and hour is not None
                ]

    def _older_hours(self, state: HourState) -> Sequence[Hour]:
        if state.previous is None:
            return ()
        return range(state.previous - 1, state.previous - 1 - self._settings.history_hours, -1)

    async def _read(self, *commands: Command) -> list[Reply]:
        try:
            async with pooled_connection(self._client) as connection:
                replies = await exchange(connection, [MULTI, *commands, EXEC])
        except (RedisError, OSError) as error:
            raise translate(error) from None
        results: list[Reply] = replies[-1] if isinstance(replies[-1], list) else replies
        for result in results:
            if isinstance(result, ResponseError):
                raise translate(result)
        return results


def _read_hours(keys: DestinationKeys) -> Command:
    return (b"MGET", keys.start, keys.previous_start)


def _last_index(n: int) -> int:
    if n < 1:
        raise InvalidArgumentError(f"n must be at least 1, not {n}")
    return n - 1


def _seconds(hour: datetime) -> float:
    return (hour if hour.tzinfo else hour.replace(tzinfo=UTC)).timestamp()


def _pairs(members: Reply) -> Iterable[tuple[bytes, Reply]]:
    """Return (member, score), which RESP3 sends as pairs and RESP2 as one flat list."""
    if members and isinstance(members[0], bytes):
        return zip(members[::2], map(float, members[1::2]), strict=True)
    return [(member, score) for member, score in members]


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")
