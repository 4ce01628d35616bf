"""Real servers: what a client received is what Redis has, however the server is stopped."""

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest
from redis.asyncio import Redis

from support.http import Process, serving
from support.layout import read_counts
from support.servers import free_port

SHOPS = Path(__file__).parent / "shops"
BIN = Path(sys.executable).parent
PATHS = ["/orders/1", "/orders/2", "/orders/3", "/stream", "/bug", "/wp-login.php"]
ROUNDS = 40
CONNECTIONS = 8


def press_ctrl_c(process: Process) -> None:
    """Interrupt a server and its workers, as a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


def interrupt(process: Process) -> None:
    """Interrupt a server alone: told twice, a WSGI worker of granian may hang."""
    process.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Row:
    """A server with an application.

    `order` is the template of its route, `missing` what a path without one counts as, and `bug`
    what an exception does. `stops` is how often the application logs that it stops; `interrupt` is
    how it is stopped when not by SIGTERM.
    """

    command: str
    order: str = "/orders/{number}"
    missing: str = "<no route>"
    bug: str = "GET /bug ValueError"
    stops: int = 0
    logs: tuple[str, ...] = ("url",)
    interrupt: Callable[[Process], None] = press_ctrl_c


DJANGO, FLASK = {"order": "/orders/<int:number>"}, {"order": "/orders/<int:number>"}
BOTH = ("url", "client")
UVICORN = "uvicorn --port {port}"
GUNICORN = "gunicorn --bind 127.0.0.1:{port} --workers 2"
HYPERCORN = "hypercorn --bind 127.0.0.1:{port}"
GRANIAN = "granian --port {port}"
WORKER = "--worker-class uvicorn_worker.UvicornWorker"
STARLETTE = "starlette_shop:app"

ROWS = {
    "uvicorn": Row(f"{UVICORN} {STARLETTE}", stops=1, logs=BOTH),
    "uvicorn-2": Row(f"{UVICORN} --workers 2 {STARLETTE}", stops=2, logs=BOTH),
    "uvicorn-mounted": Row(f"{UVICORN} starlette_shop:mounted", missing="/{path}"),
    "uvicorn-django": Row(f"{UVICORN} django_shop:asgi_app", **DJANGO),
    "uvicorn-litestar": Row(f"{UVICORN} litestar_shop:app", bug="GET /bug 500", stops=1, logs=BOTH),
    "gunicorn-uvicorn": Row(f"{GUNICORN} {WORKER} {STARLETTE}", stops=2, logs=BOTH),
    "gunicorn-uvicorn-preload": Row(
        f"{GUNICORN} {WORKER} --preload {STARLETTE}", stops=2, logs=BOTH
    ),
    "gunicorn-flask": Row(f"{GUNICORN} flask_shop:app", **FLASK),
    "gunicorn-flask-preload": Row(f"{GUNICORN} --preload flask_shop:app", **FLASK),
    "gunicorn-threads-flask": Row(f"{GUNICORN} --threads 4 flask_shop:app", **FLASK),
    "gunicorn-django": Row(f"{GUNICORN} django_shop:wsgi_app", **DJANGO),
    "hypercorn": Row(f"{HYPERCORN} {STARLETTE}", stops=1, logs=BOTH),
    "hypercorn-2": Row(f"{HYPERCORN} --workers 2 {STARLETTE}", stops=2, logs=BOTH),
    "granian": Row(f"{GRANIAN} --interface asgi {STARLETTE}", stops=1, logs=BOTH),
    "granian-2": Row(f"{GRANIAN} --workers 2 --interface asgi {STARLETTE}", stops=2, logs=BOTH),
    "granian-flask": Row(
        f"{GRANIAN} --interface wsgi flask_shop:app", **FLASK, interrupt=interrupt
    ),
}


async def ask(port: int) -> Counter[str]:
    """Send requests over several connections, and return what was received of each kind."""
    received: Counter[str] = Counter()
    paths = iter(PATHS * ROUNDS)

    async def ask_one_by_one() -> None:
        for path in paths:
            received[f"{path} {await get(port, path)}"] += 1

    await asyncio.gather(*(ask_one_by_one() for _ in range(CONNECTIONS)))
    return received


async def get(port: int, path: str) -> str:
    """Return the status of a response that was received to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    return response.split(maxsplit=2)[1].decode()


def expected(row: Row, received: Counter[str]) -> Counter[str]:
    """Return what is to be counted for what was received."""
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


async def counted(valkey: Redis, service: str) -> Counter[str]:
    """Return what Redis counts for a shop and its logger, of every severity."""
    found: Counter[str] = Counter()
    for name in (service, f"{service}-logger"):
        for severity in ("info", "warning", "error"):
            for messages in (await read_counts(valkey, name, severity)).values():
                found += messages
    shortened: Counter[str] = Counter()
    for message, times in found.items():
        shortened[re.sub(r" at \S+_shop.py:\d+$| at common.py:\d+$", "", message)] += times
    return shortened


async def serve(
    row: Row, log: str, stop: Callable[[Process], None], directory: Path, url: str
) -> tuple[str, Counter[str]]:
    """Run a server until it has answered; return its service and what was received."""
    port, service = free_port(), f"{log}-{stop.__name__}"
    environment = {
        "LOG": log,
        "LOGCOMMON_URL": url,
        "PYTHONPATH": str(SHOPS),
        "SERVICE": service,
    }
    program, *arguments = row.command.format(port=port).split()
    directory = directory / service
    directory.mkdir()
    async with serving(
        BIN / program,
        *arguments,
        port=port,
        directory=directory,
        environment=environment,
        stop=stop,
        exit_code=None,
    ):
        received = await ask(port)
    return service, received


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_every_answered_request_is_counted(
    row: Row, tmp_path: Path, valkey_url: str, valkey: Redis
) -> None:
    """With a URL and with a client, stopped by SIGTERM and by Ctrl-C right after an answer."""
    runs = await asyncio.gather(
        *(
            serve(row, log, stop, tmp_path, valkey_url)
            for log in row.logs
            for stop in (Popen.terminate, row.interrupt)
        )
    )
    found = {service: await counted(valkey, service) for service, _ in runs}
    assert found == {service: expected(row, received) for service, received in runs}
