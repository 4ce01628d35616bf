"""A private Valkey server on a unix socket: started on demand, shared, stopped by its last user.

Locks on three files beside the data say who uses the server:

- `start.lock`, exclusive: held while starting or stopping, so that only one process does either;
- `users.lock`, shared: held by each user; a user that can take it exclusively is the last one;
- `server.lock`, exclusive: held by the server process itself, for as long as it exists.

The kernel releases the locks of a killed process, so none is ever stale and no pid has to be
trusted. A directory never has two servers, even if its socket file was deleted.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

from logcommon.exceptions import EmbeddedServerError
from logcommon.server.directory import make_private, user_directory
from logcommon.server.locks import FileLock
from logcommon.server.program import start_daemon

_TIMEOUT = 10.0
"""Seconds that the server may take to answer, or to end."""

_LONGEST_SOCKET = 103
"""Bytes of a unix socket's path that every platform allows (macOS; Linux allows four more)."""

_GROUP_SIGNALS = (signal.SIGINT, signal.SIGTERM, 1)
"""Signals that a terminal or a supervisor sends to all of its processes; 1 is SIGHUP."""


class EmbeddedServer:
    """A user of the Valkey server in `directory`; the server runs while it has a user.

    Any number of users, in any number of processes, share one server. A process that ends without
    `stop()` is no longer a user. If it was the last one, the server keeps running, and the next
    user joins it.

    After a fork only the parent is a user: in the child `stop()` does nothing, and `start()` makes
    the child a user too. Several threads must not use one object at the same time.

    Args:
        directory: Where the server keeps its data, by default a folder of this user's own. It is
            created if it does not exist. One that exists must belong to this user, must not be
            writable by anyone else, and must not contain symbolic links.

    Raises:
        EmbeddedServerError: This is Windows; or without `directory`, `platformdirs` is not
            installed or this user has no home directory.

    """

    def __init__(self, directory: Path | None = None) -> None:
        if sys.platform == "win32":
            raise EmbeddedServerError("no embedded server on Windows: give the URL of a server")
        # Not resolve(): a symbolic link may be there to make a long path short.
        self._directory = (directory or user_directory()).absolute()
        self._socket = self._directory / "server.sock"
        self._log_file = self._directory / "server.log"
        # By process id: a forked child has a copy of the parent's lock, and releasing it would end
        # the parent's use. (While such a child lives, a killed parent still counts as a user.)
        self._user_locks: dict[int, FileLock] = {}

    @property
    def url(self) -> str:
        """The URL to connect to, once started."""
        return "unix://" + quote(str(self._socket))

    def start(self) -> None:
        """Join the running server or start one, and return when it answers.

        Called again, it only makes sure that the server still answers.

        Raises:
            EmbeddedServerError: There is no server program; the directory can't be used, other
                users can write to it, or its path is too long; or the server does not answer
                within ten seconds. A server that only takes longer to load its data goes on, and
                the next `start()` joins it.

        """
        if (length := len(os.fsencode(self._socket))) > _LONGEST_SOCKET:
            raise EmbeddedServerError(
                f"{self._socket} has {length} bytes, too long for a unix socket "
                f"(at most {_LONGEST_SOCKET}): choose a shorter directory"
            )

        with self._start_lock(create=True):
            self._ensure_running()
            if os.getpid() not in self._user_locks:
                self._user_locks[os.getpid()] = self._join()

    def stop(self) -> None:
        """Leave the server. If no other user is left, stop it and wait until it has ended.

        Does nothing when not started. The server saves its data.

        Raises:
            EmbeddedServerError: The server refuses to stop, or has not ended within ten seconds.

        """
        user_lock = self._user_locks.pop(os.getpid(), None)
        if user_lock is None:
            return

        try:
            with self._start_lock():
                # This gives up the shared lock even if it fails, so we are no user any more.
                if user_lock.acquire():
                    self._shut_down()
        finally:
            user_lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def _start_lock(self, *, create: bool = False) -> Iterator[None]:
        """Keep everybody else from starting or stopping the server."""
        try:
            if create:
                make_private(self._directory)

            lock = self._open_lock("start.lock")
            try:
                if not lock.acquire(3 * _TIMEOUT):  # its holder may use up three time-outs
                    raise self._failure("is being started or stopped by a process that is stuck")
                yield
            finally:
                lock.release()
        except OSError as error:
            raise EmbeddedServerError(f"can't use {self._directory}: {error.strerror}") from error

    def _join(self) -> FileLock:
        lock = self._open_lock("users.lock")
        # The last user to leave may still hold it, for a moment after it released `start.lock`.
        if not lock.acquire(_TIMEOUT, shared=True):
            lock.close()
            raise self._failure("is being left by a process that is stuck")
        return lock

    def _ensure_running(self) -> None:
        was_launched = False
        deadline = time.monotonic() + _TIMEOUT

        while not self._send(b"PING").startswith(b"+PONG"):
            if time.monotonic() > deadline:
                raise self._failure(f"does not answer after {_TIMEOUT:g} s")

            lock = self._open_lock("server.lock")
            try:
                if not lock.acquire(0.02):
                    continue  # there is a server, which still loads or has not ended yet
                if was_launched:
                    raise self._failure("ended while starting")
                was_launched = self._launch(lock)
            finally:
                # Not released: it is the server's now. (If another thread forks at this moment, its
                # child has the lock too, and the server seems to live until both have ended.)
                lock.close()

    def _launch(self, lock: FileLock) -> bool:
        """Start the server; return False if a signal to our process group ended it."""
        if self._log_file.exists():
            # Keep one older log, so that many short runs don't fill the disk.
            self._log_file.replace(self._log_file.with_suffix(".log.old"))

        started = start_daemon(self._directory, self._socket, self._log_file, lock.descriptor)
        # Between fork() and setsid(), Ctrl-C still reaches it.
        if -started.returncode in _GROUP_SIGNALS:
            return False
        if started.returncode != 0:
            raise self._failure("does not start", started.stderr)
        return True

    def _shut_down(self) -> None:
        # A server that stops closes the connection without an answer.
        if refusal := self._send(b"SHUTDOWN"):
            raise self._failure(f"refuses to stop ({refusal.decode(errors='replace').strip()})")

        lock = self._open_lock("server.lock")
        try:
            if not lock.acquire(_TIMEOUT):
                raise self._failure(f"has not ended {_TIMEOUT:g} s after SHUTDOWN")
        finally:
            lock.release()

    def _send(self, command: bytes) -> bytes:
        """Return the server's answer to a command, empty if there is none."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_TIMEOUT / 2)
                connection.connect(str(self._socket))
                connection.sendall(command + b"\r\n")
                return connection.recv(1000)
        except OSError:
            return b""

    def _open_lock(self, name: str) -> FileLock:
        return FileLock(self._directory / name)

    def _failure(self, what: str, output: bytes = b"") -> EmbeddedServerError:
        """Return an error that quotes the last lines of what the server wrote, else of its log."""
        if not output and self._log_file.exists():
            output = self._log_file.read_bytes()
        lines = [line.strip() for line in output.decode(errors="replace").split("\n")]
        end = " | ".join(list(filter(None, lines))[-4:])
        return EmbeddedServerError(f"the embedded server {what}: {end} (its log: {self._log_file})")
