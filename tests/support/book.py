"""The book's two functions in a synchronous program, which shares keys with ours.

Written anew from *Redis in Action*, section 5.1.2, with one fault fixed, without which rotation
would never begin: `:start` is set the first time.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from redis import Redis, WatchError
from redis.client import Pipeline


def log_recent(pipe: Pipeline, name: str, message: str, severity: str) -> None:
    destination = f"recent:{name}:{severity}"
    pipe.lpush(destination, f"{time.asctime()} {message}")
    pipe.ltrim(destination, 0, 99)
    pipe.execute()


def log_common(
    conn: Redis, name: str, message: str, severity: str = "info", *, clock: Callable[[], float]
) -> None:
    destination = f"common:{name}:{severity}"
    start_key = f"{destination}:start"
    with conn.pipeline() as pipe:
        while True:
            try:
                pipe.watch(start_key)
                now = datetime.fromtimestamp(clock(), UTC).timetuple()
                hour_start = datetime(*now[:4]).isoformat()  # as the book writes it
                existing: Any = pipe.get(start_key)
                pipe.multi()
                if existing and existing < hour_start.encode():
                    pipe.rename(destination, f"{destination}:last")
                    pipe.rename(start_key, f"{destination}:pstart")
                    pipe.set(start_key, hour_start)
                elif not existing:
                    pipe.set(start_key, hour_start)
                pipe.zincrby(destination, 1, message)
                log_recent(pipe, name, message, severity)
            except WatchError:
                continue
            return
