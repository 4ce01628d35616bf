"""What the tests of the web integrations share."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from redis.asyncio import Redis

import logcommon
from support.layout import read_counts

Counts: TypeAlias = dict[str, Counter[str]]
"""How often each message is counted, by severity."""

SEVERITIES = ("debug", "info", "warning", "error", "critical")


async def counted(log: logcommon.CommonLog, valkey: Redis, name: str = "web") -> Counts:
    """Return what Redis counts for each severity that has something, in all hours together."""
    await log.flush()
    stats = log.stats
    assert stats.calls == stats.counted + stats.other + stats.dropped
    return await counted_in_redis(valkey, name)


async def counted_in_redis(valkey: Redis, name: str) -> Counts:
    """Return the same without a flush, for a client that is elsewhere."""
    found = {severity: await read_counts(valkey, name, severity) for severity in SEVERITIES}
    return {severity: sum(hours.values(), Counter()) for severity, hours in found.items() if hours}


def place_of(function: Callable[..., Any], line: int) -> str:
    """Return how the place of a line is counted; the line with `def` or a decorator is 0."""
    file = function.__module__.replace(".", "/")
    return f"{file}.py:{function.__code__.co_firstlineno + line}"
