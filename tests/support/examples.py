"""Runs the Python blocks of a page as the files that a reader would save."""

import asyncio
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx
from redis.asyncio import Redis

from support.http import serving
from support.servers import free_port

Counts: TypeAlias = Counter[tuple[str, str, str]]

URL = "redis://localhost:6379/0"
"""What every example takes for the reader's Redis."""

AIOHTTP_SERVES = "web.run_app(app"
FASTAPI_APP = "app = FastAPI("
A_TEST = "def test_"
PYTEST = (
    # Just the plugins that examples use: loading all that are installed takes seconds.
    *("-B", "-m", "pytest", "--disable-plugin-autoload", "-p", "logcommon", "-p", "asyncio"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
    *("-W", "ignore:Using `httpx` with `starlette"),
)


@dataclass(frozen=True)
class Example:
    """A Python block of a page."""

    code: str

    @property
    def is_served(self) -> bool:
        """Whether it is a web application, which runs until it is stopped."""
        return AIOHTTP_SERVES in self.code or FASTAPI_APP in self.code

    def said_counts(self) -> dict[str, int]:
        """Return how often each message is counted, going by the comments.

        Those of a web application are about requests that nobody makes here.
        """
        said = re.findall(r'counted (twice )?as "(.+?)"', self.code)
        return {} if self.is_served else {message: 2 if twice else 1 for twice, message in said}


def examples_of(page: Path) -> list[Example]:
    """Return the Python blocks of a page of Markdown, or of a module's docstring."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [Example(code) for code in blocks]


async def run_example(example: Example, url: str, folder: Path) -> None:
    """Run an example as a file, with `url` for its Redis; it must print no errors."""
    code = example.code.replace(URL, url).replace('"embedded:"', repr(url))
    port = free_port()
    code = code.replace(AIOHTTP_SERVES, f"{AIOHTTP_SERVES}, port={port}")
    (folder / "example.py").write_text(code)

    if A_TEST in code:
        printed = await asyncio.to_thread(_run, folder, *PYTEST)
    elif FASTAPI_APP in code:
        uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), "--port", str(port)]
        printed = await _serve(*uvicorn, "example:app", port=port, folder=folder, exit_code=-15)
    elif AIOHTTP_SERVES in code:
        printed = await _serve(sys.executable, str(folder / "example.py"), port=port, folder=folder)
    else:
        printed = await asyncio.to_thread(_run, folder)
    assert not re.search(r"Traceback|Error|Warning", printed), printed


async def counts_in(redis: Redis) -> Counts:
    """Return how often each (service, severity, message) has been counted, in any hour."""
    counts: Counts = Counter()
    async for key in redis.scan_iter("common:*", _type="zset"):
        _, name, severity, *_ = key.decode().split(":")
        members: list[Any] = await redis.zrange(key, 0, -1, withscores=True)
        for message, count in members:
            counts[name, severity, message.decode()] += int(count)
    return counts


def _run(folder: Path, *options: str) -> str:
    """Run the example, which must succeed, and return what it printed."""
    finished = subprocess.run(
        [sys.executable, *options, "example.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
    )

    assert finished.returncode == 0, finished.stdout
    return finished.stdout


async def _serve(*command: str, port: int, folder: Path, exit_code: int = 0) -> str:
    """Serve the example, request a missing page, and return what it printed."""
    fresh = {"PYTHONDONTWRITEBYTECODE": "1"}  # the next example has the same name
    async with (
        serving(*command, port=port, directory=folder, environment=fresh, exit_code=exit_code),
        httpx.AsyncClient() as client,
    ):
        response = await client.get(f"http://127.0.0.1:{port}/no-such-page")
        assert response.status_code == 404
    return (folder / "server.log").read_text()
