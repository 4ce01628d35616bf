"""Programs that use an embedded server, and functions that look at it from outside."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import logcommon
from logcommon.server.embedded import EmbeddedServer

DEADLINE = 30
"""Seconds that anything may take."""

USER = """
import sys
from pathlib import Path
from logcommon.server.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print("started", flush=True)
sys.stdin.readline()
server.stop()
"""


class Programs:
    """Runs scripts in processes of their own, with the server's directory as argument."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[str]] = []

    def run(self, script: str) -> subprocess.Popen[str]:
        """Start a script."""
        program = subprocess.Popen(
            [sys.executable, "-c", script, str(self._directory)],
            env=os.environ | {"PYTHONPATH": str(Path(logcommon.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(program)
        return program

    def run_user(self) -> subprocess.Popen[str]:
        """Start a user, and return once it has its server."""
        user = self.run(USER)
        assert line_of(user) == "started\n"
        return user

    def close(self) -> None:
        """Kill all processes that still run."""
        for program in self._running:
            program.kill()
            with program:  # closes its pipes and waits
                pass


def line_of(program: subprocess.Popen[str]) -> str:
    """Read the next line that a program prints."""
    assert program.stdout is not None
    return program.stdout.readline()


def client_of(server: EmbeddedServer) -> redis.Redis:
    """Return a client for the server's URL."""
    return redis.Redis.from_url(server.url, decode_responses=True)


def server_pid(directory: Path) -> int:
    """Return the process id of the server."""
    return int((directory / "server.pid").read_text())


def is_alive(directory: Path) -> bool:
    """Tell whether the server answers on its socket, whatever the module under test says."""
    never_again = Retry(NoBackoff(), 0)  # by default it tries for five seconds
    path = str(directory / "server.sock")
    with redis.Redis(unix_socket_path=path, retry=never_again) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def crash_server(directory: Path) -> None:
    """Kill the server without giving it a chance to do anything."""
    os.kill(server_pid(directory), signal.SIGKILL)
    eventually(lambda: not is_alive(directory))


@contextmanager
def pretended_server(directory: Path, replies: list[bytes]) -> Iterator[None]:
    """Act as a server that answers each command with the next reply, and then ends."""
    with (directory / "server.lock").open("w") as life, socket.socket(socket.AF_UNIX) as listener:
        fcntl.flock(life, fcntl.LOCK_EX)
        listener.bind(str(directory / "server.sock"))
        listener.listen()
        listener.settimeout(DEADLINE)

        def serve() -> None:
            for reply in replies:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(reply)
            fcntl.flock(life, fcntl.LOCK_UN)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()
