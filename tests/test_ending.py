"""The end of a process: what was logged until then is in Redis, whoever ends it and how."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from support.http import serving
from support.layout import read_counts
from support.servers import free_port

TESTS = Path(__file__).parent
PYTHON = sys.executable
APP = "support.logging_app:app"
UVICORN = (PYTHON, "-m", "uvicorn", APP, "--port")
GUNICORN = (
    *(PYTHON, "-m", "gunicorn", APP, "-k", "uvicorn_worker.UvicornWorker"),
    *("--workers", "2", "--no-control-socket", "--bind"),
)


async def counted(valkey: Redis) -> Counter[str]:
    return sum((await read_counts(valkey, "shop")).values(), Counter())


SERVERS = {
    "uvicorn": ((*UVICORN, "{port}"), 1, -signal.SIGTERM),
    "uvicorn with workers": ((*UVICORN, "{port}", "--workers", "2"), 2, 0),
    "uvicorn.run": ((PYTHON, "-m", "support.logging_app", "{port}"), 1, -signal.SIGTERM),
    "gunicorn": ((*GUNICORN, "127.0.0.1:{port}"), 2, 0),
    "gunicorn with preload": ((*GUNICORN, "127.0.0.1:{port}", "--preload"), 2, 0),
}
"""Commands, how many workers they start, and their exit code after SIGTERM."""


# After SIGINT gunicorn kills workers of this class in the end: they ignore SIGQUIT.
@pytest.mark.parametrize(
    ("kind", "end"),
    [(kind, signal.SIGTERM) for kind in SERVERS]
    + [(kind, signal.SIGINT) for kind in SERVERS if kind.startswith("uvicorn")],
)
async def test_a_server(
    valkey_url: str, valkey: Redis, tmp_path: Path, kind: str, end: signal.Signals
) -> None:
    """Every record is counted, that of the lifespan's shutdown too; the exit code is as before."""
    command, workers, code = SERVERS[kind]
    port = free_port()
    async with (
        serving(
            *(part.format(port=port) for part in command),
            port=port,
            directory=tmp_path,
            environment={
                "LOG_URL": valkey_url,
                "LINGER": "5",
                "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
            },
            exit_code=code if end == signal.SIGTERM else 0,
            stop=lambda process: process.send_signal(end),
        ),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for number in range(100):
            assert (await client.get(f"/{number}")).status_code == 204
    assert await counted(valkey) == {
        "started": workers,
        "request of %s": 100,
        "stopped": workers,
    }
