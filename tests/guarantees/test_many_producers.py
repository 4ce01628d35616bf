"""Several programs write the same keys at once, while the hours turn."""

import asyncio
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import redis
from redis.asyncio import Redis

import logcommon
from support import producer
from support.book import log_common as book_log_common
from support.clock import NOON, HandClock
from support.layout import read_counts, read_minutes, total
from support.until import until

TESTS = Path(__file__).parents[1]


async def test_many_processes_turn_the_hour_together(valkey_url: str, valkey: Redis) -> None:
    """Eight processes that rotate at the same moment, five times, count exactly in each hour."""
    producers, hours, calls = 8, 5, 300
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            producer.__file__,
            valkey_url,
            *map(str, (number, producers, hours, calls)),
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": ":".join([str(TESTS), *sys.path])},
        )
        for number in range(producers)
    ]
    waited = aborts = 0

    for process in processes:
        output, _ = await process.communicate()
        assert process.returncode == 0
        numbers = list(map(int, output.split()))
        waited, aborts = waited + numbers[0], aborts + numbers[1]

    counts = await read_counts(valkey)
    assert sum(counter.pop("waited for") for counter in counts.values()) == waited
    each_hour = Counter({f"message {n}": producers * calls // 10 for n in range(10)})
    assert counts == {NOON + hour: each_hour for hour in range(hours)}
    assert aborts > 0, "nobody raced, so this proved nothing"


async def test_the_books_program_and_ours_share_keys(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """The book's functions, ours and the client count into the same keys exactly.

    The hour turns meanwhile; there are two hours at the end, as the book's program keeps two.
    """
    books = 400

    def book(message: str) -> None:
        with redis.Redis.from_url(valkey_url) as client:
            for _ in range(books):
                book_log_common(client, "api", message, clock=clock)

    async def ours(log: logcommon.CommonLog) -> None:
        for _ in range(books):
            await log.log_common("api", "client")
            await logcommon.log_common(valkey, "api", "function", clock=clock)

    async def is_half_done() -> bool:
        return await total(valkey) >= 2 * books

    threads = [threading.Thread(target=book, args=(f"book {n}",)) for n in range(2)]
    async with logcommon.connect(valkey_url, clock=clock) as log:
        for thread in threads:
            thread.start()
        task = asyncio.create_task(ours(log))
        await until(is_half_done)
        clock.turn()
        await task
        for thread in threads:
            await asyncio.to_thread(thread.join)
    counts = await read_counts(valkey)
    assert set(counts) == {NOON, NOON + 1}
    assert counts[NOON] + counts[NOON + 1] == Counter(
        {"book 0": books, "book 1": books, "client": books, "function": books}
    )
    assert await valkey.llen("recent:api:info") == 100
    # The book's program knows nothing of minutes.
    minutes = (await read_minutes(valkey)).values()
    assert sum(sum(calls.values()) for calls in minutes) == 2 * books
    keys: list[Any] = await valkey.keys("common:*")
    names = {key.decode().removesuffix(":minutes") for key in keys}
    assert names == {f"common:api:info{suffix}" for suffix in ("", ":start", ":last", ":pstart")}
