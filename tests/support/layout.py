"""Reads the book's keys directly, so that tests don't trust our reader with our writer."""

from collections import Counter
from typing import Any

from redis.asyncio import Redis

from logcommon.model import Hour, parse_hour

Counts = dict[Hour, Counter[str]]


async def read_counts(client: Redis, name: str = "api", severity: str = "info") -> Counts:
    """Return what is counted for each hour, wherever the layout has it."""
    base = f"common:{name}:{severity}"
    counts: Counts = {}
    keys: list[Any] = await client.keys(f"{base}*")

    for key in keys:
        suffix = key.decode().removeprefix(base).removeprefix(":")
        if suffix in ("start", "pstart"):
            continue
        holder = {"": f"{base}:start", "last": f"{base}:pstart"}.get(suffix)
        text = suffix if holder is None else await client.get(holder)
        hour = parse_hour(text)
        assert hour is not None, f"{key!r} has no hour"
        assert hour not in counts, f"{key!r}: two sets for one hour"
        members: list[Any] = await client.zrange(key, 0, -1, withscores=True)
        counts[hour] = Counter({member.decode(): int(score) for member, score in members})

    return counts


async def total(client: Redis, name: str = "api", severity: str = "info") -> int:
    """Return how many calls are counted in all hours together."""
    counts = await read_counts(client, name, severity)
    return sum(counter.total() for counter in counts.values())
