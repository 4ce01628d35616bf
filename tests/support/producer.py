"""One of many producer processes: logs through a few hours, turning them with all the others.

Run as `python producer.py URL PRODUCER PRODUCERS HOURS CALLS`.
"""

import asyncio
import random
import sys

from redis.asyncio import Redis

import logcommon
from support.clock import HandClock
from support.until import until


async def meet(client: Redis, place: str, everybody: int) -> None:
    """Wait until every producer has reached this point."""
    await client.incr(place)

    async def all_are_there() -> bool:
        return int(await client.get(place) or 0) == everybody

    await until(all_are_there)


async def main(url: str, producer: int, producers: int, hours: int, calls: int) -> None:
    chance, clock = random.Random(producer), HandClock()
    async with Redis.from_url(url) as client, logcommon.connect(url, clock=clock) as log:
        for hour in range(hours):
            await meet(client, f"test:hour:{hour}", producers)
            for number in range(calls):
                log.log_common_nowait("api", f"message {number % 10}")
                if chance.random() < 0.1:
                    await log.log_common("api", "waited for")
            clock.turn()

        await log.flush()
        stats = log.stats
        assert stats.calls == stats.counted, stats
        print(stats.calls - hours * calls, stats.aborts)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
