"""The ways to log that are compared: each logs messages and returns the seconds that it took."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias

import redis.asyncio

import logcommon
from _support import COMMON, NAME, RECENT, RECENT_LENGTH, SEVERITY, MismatchError

START = f"{COMMON}:start"

Pipe: TypeAlias = Any  # sync or not; redis-py's own types for it have gaps


async def listing_sync(url: str, messages: Sequence[str]) -> float:
    """Run the book's listing on redis-py."""
    with redis.Redis.from_url(url) as conn:
        conn.ping()
        begin = time.perf_counter()
        for message in messages:
            _listing(conn.pipeline(), message)
        return time.perf_counter() - begin


async def listing_async(tasks: int, url: str, messages: Sequence[str]) -> float:
    """Run the book's listing on `redis.asyncio`, with a connection for each task."""
    async with redis.asyncio.Redis.from_url(url) as conn:
        await asyncio.gather(*(conn.ping() for _ in range(tasks)))  # connects them all
        return await _in_tasks(tasks, messages, lambda text: log_by_listing(conn.pipeline(), text))


async def pipeline(url: str, messages: Sequence[str]) -> float:
    """Send the commands of each call in pipelines of 1,000 calls: no transaction, no rotation."""
    async with redis.asyncio.Redis.from_url(url) as conn:
        await conn.ping()
        begin = time.perf_counter()
        for share in _thousands(messages):
            pipe = conn.pipeline(transaction=False)
            for message in share:
                _queue_count(pipe, message)
            await pipe.execute()
        return time.perf_counter() - begin


async def awaited(tasks: int, url: str, messages: Sequence[str], *, spool: bool = False) -> float:
    """Await our `log_common` in many tasks at the same time."""
    async with _opened(url, messages, spool=spool) as log:
        return await _in_tasks(tasks, messages, lambda text: log.log_common(NAME, text, SEVERITY))


async def nowait(
    url: str,
    messages: Sequence[str],
    *,
    spool: bool = False,
    template: Callable[[str], str] | None = None,
) -> float:
    """Call our `log_common_nowait`, yielding now and then, until Redis has it all."""
    async with _opened(url, messages, spool=spool, template=template) as log:
        begin = time.perf_counter()
        for share in _thousands(messages):
            for message in share:
                log.log_common_nowait(NAME, message, SEVERITY)
            await asyncio.sleep(0)
        await log.flush()
        return time.perf_counter() - begin


@asynccontextmanager
async def _opened(
    url: str,
    messages: Sequence[str],
    *,
    spool: bool,
    template: Callable[[str], str] | None = None,
) -> AsyncIterator[logcommon.CommonLog]:
    """Open our client with room for all, and check its account. It connects on the clock."""
    calls = len(messages)
    with tempfile.TemporaryDirectory(prefix="logcommon-") as directory:
        path = f"{directory}/spool" if spool else None
        async with logcommon.connect(
            url, max_pending=calls, max_members=calls, spool=path, template=template
        ) as log:
            yield log
        stats = log.stats
        if (stats.counted, stats.other, stats.dropped) != (calls, 0, 0):
            raise MismatchError(f"made {calls} calls; the client has {stats}")


async def _in_tasks(
    tasks: int, messages: Sequence[str], log_one: Callable[[str], Awaitable[None]]
) -> float:
    async def log_all(share: Sequence[str]) -> None:
        for message in share:
            await log_one(message)

    shares = [messages[first::tasks] for first in range(tasks)]
    begin = time.perf_counter()
    await asyncio.gather(*map(log_all, shares))
    return time.perf_counter() - begin


def _thousands(messages: Sequence[str]) -> Iterator[Sequence[str]]:
    return (messages[first : first + 1_000] for first in range(0, len(messages), 1_000))


def _listing(pipe: Pipe, message: str) -> None:
    while True:
        with suppress(redis.WatchError):
            pipe.watch(START)
            _queue_common(pipe, pipe.get(START), message)
            pipe.execute()
            return


async def log_by_listing(pipe: Pipe, message: str) -> None:
    """Log one message as the book's listing does, on `redis.asyncio`."""
    while True:
        with suppress(redis.WatchError):
            await pipe.watch(START)
            _queue_common(pipe, await pipe.get(START), message)
            await pipe.execute()
            return


def _queue_common(pipe: Pipe, existing: bytes | None, message: str) -> None:
    # As printed, the listing never sets `:start` the first time, and so never rotates.
    hour_start = datetime(*datetime.now(UTC).timetuple()[:4]).isoformat()
    pipe.multi()
    if existing and existing < hour_start.encode():
        pipe.rename(COMMON, f"{COMMON}:last")
        pipe.rename(START, f"{COMMON}:pstart")
    if not existing or existing < hour_start.encode():
        pipe.set(START, hour_start)
    _queue_count(pipe, message)


def _queue_count(pipe: Pipe, message: str) -> None:
    pipe.zincrby(COMMON, 1, message)
    pipe.lpush(RECENT, f"{time.asctime()} {message}")
    pipe.ltrim(RECENT, 0, RECENT_LENGTH - 1)
