"""Reads the book's keys directly, so that tests don't trust our reader with our writer."""

from collections import Counter
from typing import Any

from redis.asyncio import Redis

from logcommon.model import Hour, parse_hour

Counts = dict[Hour, Counter[str]]

_BESIDE_SETS = (":start", ":pstart", ":examples", ":minutes")


async def read_counts(client: Redis, name: str = "api", severity: str = "info") -> Counts:
    """Return what is counted for each hour, wherever the layout has it."""
    base = f"common:{name}:{severity}"
    keys: list[Any] = await client.keys(f"{base}*")
    names = [key.decode() for key in keys]
    names = [name for name in names if not name.endswith(_BESIDE_SETS)]
    async with client.pipeline(transaction=False) as pipe:
        pipe.mget(f"{base}:start", f"{base}:pstart")
        for name in names:
            pipe.zrange(name, 0, -1, withscores=True)
        (start, previous), *sets = await pipe.execute()

    counts: Counts = {}
    hours = {base: start, f"{base}:last": previous}
    for key, members in zip(names, sets, strict=True):
        hour = parse_hour(hours.get(key, key.removeprefix(f"{base}:")))
        assert hour is not None, f"{key!r} has no hour"
        assert hour not in counts, f"{key!r}: two sets for one hour"
        counts[hour] = Counter({member.decode(): int(score) for member, score in members})

    return counts


async def read_minutes(
    client: Redis, name: str = "api", severity: str = "info"
) -> dict[str, dict[int, int]]:
    """Return the calls of each minute, by what follows the destination in the key of the set."""
    base = f"common:{name}:{severity}"
    keys: list[Any] = await client.keys(f"{base}*:minutes")
    minutes = {}
    for key in keys:
        found: Any = await client.hgetall(key)
        owner = key.decode().removeprefix(base).removesuffix(":minutes")
        minutes[owner] = {int(minute): int(calls) for minute, calls in found.items()}
    return minutes


async def total(client: Redis, name: str = "api", severity: str = "info") -> int:
    """Return how many calls are counted in all hours together."""
    counts = await read_counts(client, name, severity)
    return sum(counter.total() for counter in counts.values())
