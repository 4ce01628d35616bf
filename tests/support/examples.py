"""Running the Python blocks of a page the way that the page tells a reader to."""

import asyncio
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx
from redis.asyncio import Redis

from support.http import serving
from support.servers import free_port

Counts: TypeAlias = Counter[tuple[str, str, str]]

URL = "redis://localhost:6379/0"
"""What every example takes for the reader's Redis."""

AIOHTTP_SERVES = "web.run_app(app"
FASTAPI_APP = "app = FastAPI("


@dataclass(frozen=True)
class Example:
    """A Python block of a page, and the paragraph before it."""

    code: str
    introduction: str

    @property
    def is_file(self) -> bool:
        """Whether Python runs it from a file, so with no `await` outside of a function."""
        try:
            compile(self.code, "example.py", "exec")
        except SyntaxError:
            return False
        return True

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
    before, *rest = page.read_text().split("```python\n")
    examples = []
    for part in rest:
        code, after = part.split("```", 1)
        examples.append(Example(code, before.strip().rpartition("\n\n")[2]))
        before = after
    return examples


async def run_example(example: Example, url: str, folder: Path) -> None:
    """Run an example with `url` for its Redis. Raise AssertionError if it complains of anything."""
    code = example.code.replace(URL, url).replace('"embedded:"', repr(url))
    if example.is_served:
        await _serve(code, folder)
    elif example.is_file:
        (folder / "example.py").write_text(code)
        _assert_well(await _run(folder, "example.py"))
    else:
        # The next line that a reader types is an error unless the example has come to its end.
        _assert_well(await _run(folder, "-m", "asyncio", stdin=f"{code}None\n"))


async def counts_in(redis: Redis) -> Counts:
    """Return how often each (service, severity, message) has been counted, in any hour."""
    counts: Counts = Counter()
    async for key in redis.scan_iter("common:*", _type="zset"):
        _, name, severity, *_ = key.decode().split(":")
        for message, count in await redis.zrange(key, 0, -1, withscores=True):
            counts[name, severity, message.decode()] += int(count)
    return counts


async def _run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
    )


def _assert_well(finished: subprocess.CompletedProcess[str]) -> None:
    """Look at what was printed too: after an error the console of asyncio goes on."""
    assert finished.returncode == 0, finished.stderr
    assert not re.search(r"Traceback|Error|Warning", finished.stderr), finished.stderr


async def _serve(code: str, folder: Path) -> None:
    """Serve an application on a port that is free, and ask it for a page that it has not."""
    port = free_port()
    file = folder / "example.py"
    file.write_text(code.replace(AIOHTTP_SERVES, f"{AIOHTTP_SERVES}, port={port}"))
    command: list[str | Path] = [sys.executable, file]
    if FASTAPI_APP in code:
        command = [sys.executable, "-m", "uvicorn", "--app-dir", folder, "example:app"]
        command += ["--port", str(port)]

    async with serving(*command, port=port, directory=folder, exit_code=_exit_code(code)):
        async with httpx.AsyncClient() as client:
            response = await client.get(f"http://127.0.0.1:{port}/no-such-page")
        assert response.status_code == 404

    log = (folder / "server.log").read_text()
    assert "Traceback" not in log, log


def _exit_code(code: str) -> int:
    """Return how a server ends on SIGTERM: uvicorn passes the signal on, aiohttp doesn't."""
    return -15 if FASTAPI_APP in code else 0
