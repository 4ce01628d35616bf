"""Web servers as processes of their own."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from support.until import until

Process: TypeAlias = subprocess.Popen[bytes]


@asynccontextmanager
async def serving(
    *command: str | Path,
    port: int,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    exit_code: int | None = 0,
    stop: Callable[[Process], None] = subprocess.Popen.terminate,
) -> AsyncIterator[Process]:
    """Run a server for as long as the block does; it is entered when the port takes connections.

    What the server prints is in `directory/server.log`.

    Args:
        command: The program and its arguments.
        port: Where it listens; `servers.free_port` returns one to use.
        directory: Where to put the log.
        environment: Variables to add to those of the tests.
        exit_code: What the server must exit with; None for anything.
        stop: Stops the server, with SIGTERM unless it is given.

    Raises:
        AssertionError: The server ended by itself or with another exit code; has what it printed.

    """
    log = directory / "server.log"
    process = _start(command, environment or {}, log)
    try:
        await until(lambda: _takes_connections(process, port, log))
        yield process

        _assert_runs(process, log)
        stop(process)
        await until(lambda: process.poll() is not None)
        assert exit_code in (process.returncode, None), log.read_text()
    finally:
        _kill(process)


def _start(command: tuple[str | Path, ...], environment: Mapping[str, str], log: Path) -> Process:
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its workers can be killed with it
        )


def _assert_runs(process: Process, log: Path) -> None:
    assert process.poll() is None, log.read_text()


async def _takes_connections(process: Process, port: int, log: Path) -> bool:
    _assert_runs(process, log)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _kill(process: Process) -> None:
    """Kill a process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
