"""What the tests of the background client have in common."""

import threading
from collections import Counter

from redis.asyncio import Redis

from support.layout import read_counts


def threads() -> list[threading.Thread]:
    """Return the threads that write."""
    return [thread for thread in threading.enumerate() if thread.name == "logcommon"]


async def counted(valkey: Redis) -> Counter[str]:
    """Return the counts in Redis, of all hours together."""
    return sum((await read_counts(valkey)).values(), Counter())


def refuse(*_: object) -> None:
    raise RuntimeError("can't start new thread")
