"""What reading costs: of a destination with few, many and very many messages, and of a thousand.

Sets are filled directly, a day of them, and read by a client as an application or a page does. No
time is taken before the rows are what was filled in. The event loop is blocked for less: most of
the time is the server's, or that of a thread.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from redis import Redis

import logcommon
from _support import add_server_options, describe_run, server_url

MEMBERS = (10, 1_000, 100_000)
DESTINATIONS, FEW = 1_000, 10
HOURS = 24
ROUNDS = 15

NOW = datetime.now(UTC)
HOUR = NOW.replace(minute=0, second=0, microsecond=0)

Reading = tuple[str, Callable[[logcommon.CommonLog], Awaitable[Any]]]


def fill(admin: Redis, name: str, members: int) -> None:
    """Fill the sets of a destination: the current hour, the last and those before."""
    key = f"common:{name}:info"
    for age in range(HOURS):
        hour = HOUR - timedelta(hours=age)
        target = {0: key, 1: f"{key}:last"}.get(age, f"{key}:{hour:%Y-%m-%dT%H:%M:%S}")
        with admin.pipeline(transaction=False) as pipe:
            for first in range(0, members, 10_000):
                numbers = range(first, min(first + 10_000, members))
                pipe.zadd(
                    target, {f"message {'x' * (n % 7)}{n} of ours": members - n for n in numbers}
                )
            pipe.execute()
    admin.set(f"{key}:start", f"{HOUR:%Y-%m-%dT%H:%M:%S}")
    admin.set(f"{key}:pstart", f"{HOUR - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}")
    admin.sadd("logcommon:destinations", f"{name}:info")


async def check(log: logcommon.CommonLog, members: int) -> None:
    """Raise unless the rows are those that were filled in."""
    rows = await log.top(None, None, n=3)
    found = [(row.count, row.message) for row in rows]
    if found[0] != (members, "message 0 of ours"):
        raise SystemExit(f"read {found}")
    changes = (await log.compare(n=10)).changes
    if len(changes) < min(members, 10):
        raise SystemExit(f"found {len(changes)} changes")


def readings() -> Iterator[Reading]:
    """Yield what is measured."""
    yield "top, n=10", lambda log: log.top(None, None)
    yield "top, n=10, merged", lambda log: log.top(None, None, merge=True)
    yield "summary, n=10", lambda log: log.summary()
    yield "hours", lambda log: log.hours(None, None)
    yield "compare", lambda log: log.compare()
    yield "compare, merged", lambda log: log.compare(merge=True)
    yield "compare with all hours", lambda log: log.compare(before="history")
    yield "series", lambda log: log.series("message 0 of ours", None, None)


async def measure(url: str, admin: Redis, members: int) -> None:
    """Print how long each way to read takes, and how many commands it sends."""
    async with logcommon.connect(url) as log:
        await check(log, members)
        for name, read in readings():
            seconds = []
            admin.config_resetstat()
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await read(log)
                seconds.append(time.perf_counter() - began)
            stats: Any = admin.info("commandstats")
            ours = {"zrevrange", "zmscore", "hmget", "mget", "exists", "smembers", "lrange"}
            calls = sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for command in ours)
            print(f"{name:24} {median(seconds) * 1e3:9.2f} {calls / ROUNDS:10.0f}")


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_options(parser)
    options = parser.parse_args()

    with server_url(options.url, options.cpus) as url, Redis.from_url(url) as admin:
        print(f"{describe_run(admin, 'redis')} ({options.cpus})")
        for members, destinations in (*((each, 1) for each in MEMBERS), (FEW, DESTINATIONS)):
            print(f"filling {destinations} x {members} …", file=sys.stderr)
            admin.flushall()
            for number in range(destinations):
                fill(admin, f"service-{number}", members)
            where = f"{destinations:,} x {members:,} messages"
            print(f"\n{where:24} {'ms':>9} {'commands':>10}")
            asyncio.run(measure(url, admin, members))


if __name__ == "__main__":
    main()
