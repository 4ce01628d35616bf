"""Shops behind real servers: starts them, sends requests, and says what Redis must have."""

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from support.http import Process, serving
from support.layout import read_counts
from support.servers import free_port
from support.until import until

SHOPS = Path(__file__).parents[1] / "deployment" / "shops"
BIN = Path(sys.executable).parent
PATHS = ["/orders/1", "/orders/2", "/orders/3", "/stream", "/bug", "/wp-login.php"]
ROUNDS = 40
CONNECTIONS = 8


def press_ctrl_c(process: Process) -> None:
    """Interrupt a server and its workers, as a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


def interrupt(process: Process) -> None:
    """Interrupt the server alone: workers with threads may hang if they are interrupted as well."""
    process.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Row:
    """A server with an application.

    Attributes:
        command: How the server is started.
        order: The template of the route of an order.
        missing: What a path without a route counts as.
        bug: What an exception counts as.
        stops: How often the application logs that it stops: once for each worker.
        records: How often each record of the server or the framework itself is counted, if they
            are counted.
        logs: Whether requests are counted with a URL, with a client, or each in turn.
        interrupt: How the server is stopped, if not by SIGTERM.

    """

    command: str
    order: str = "/orders/{number}"
    missing: str = "<no route>"
    bug: str = "GET /bug ValueError"
    stops: int = 0
    records: Counter[str] = field(default_factory=Counter)
    logs: tuple[str, ...] = ("url",)
    interrupt: Callable[[Process], None] = press_ctrl_c


async def ask(port: int) -> Counter[str]:
    """Send requests over several connections, and return how many of each kind were answered."""
    received: Counter[str] = Counter()
    paths = iter(PATHS * ROUNDS)

    async def ask_one_by_one() -> None:
        for path in paths:
            received[f"{path} {await get(port, path)}"] += 1

    await asyncio.gather(*(ask_one_by_one() for _ in range(CONNECTIONS)))
    return received


async def get(port: int, path: str) -> str:
    """Return the status of a response, once it was received to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    return response.split(maxsplit=2)[1].decode()


def expected(row: Row, received: Counter[str]) -> Counter[str]:
    """Return the counts that are expected for what was received."""
    named: Counter[str] = Counter()
    for subject, times in received.items():
        path, status = subject.split()
        if path.startswith("/orders"):
            named[f"GET {row.order} {status}"] += times
            named["order %s taken"] += times
        elif path == "/bug":
            assert status == "500"
            named[row.bug] += times
        else:
            route = path if path == "/stream" else row.missing
            named[f"GET {route} {status}"] += times

    return named + Counter({"stopping": row.stops})


async def counted(valkey: Redis, *names: str) -> Counter[str]:
    """Return what Redis counts under these names, in all severities together."""
    found: Counter[str] = Counter()
    for name in names:
        for severity in ("info", "warning", "error"):
            for messages in (await read_counts(valkey, name, severity)).values():
                found += messages
    shortened: Counter[str] = Counter()
    for message, times in found.items():
        shortened[re.sub(r" at \S+_shop.py:\d+$| at common.py:\d+$", "", message)] += times
    return shortened


@asynccontextmanager
async def shop(
    row: Row, stop: Callable[[Process], None], directory: Path, **environment: str
) -> AsyncIterator[int]:
    """Run a server until the block ends, then stop it; yield its port."""
    port = free_port()
    program, *arguments = row.command.format(port=port).split()
    # The next regular commit is an hour away, so only the end of the server can write the counts.
    environment = {"LOG": "url", "LINGER": "3600", "PYTHONPATH": str(SHOPS), **environment}
    environment["STARTED"] = str(directory)

    async with serving(
        BIN / program,
        *arguments,
        port=port,
        directory=_made(directory),
        environment=environment,
        stop=stop,
        exit_code=None,
    ):
        # A worker that is stopped while it starts never logs `stopping`.
        await until(lambda: len(list(directory.glob("started-*"))) >= row.stops)
        yield port


def _made(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return directory
