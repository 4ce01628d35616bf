"""The embedded server's directory: it belongs to one user, and has no symbolic links in it."""

import os
from contextlib import suppress
from pathlib import Path

from logcommon.exceptions import EmbeddedServerError
from logcommon.server.program import INSTALL

_WRITABLE_BY_OTHERS = 0o022

_DATA = "appendonlydir"
"""The one directory that the server creates in it."""


def user_directory() -> Path:
    """Return the folder in which this platform keeps a user's data for logcommon.

    Raises:
        EmbeddedServerError: `platformdirs` is not installed, or the user has no home directory.

    """
    try:
        from platformdirs import user_data_path
    except ImportError as missing:
        raise EmbeddedServerError(f"platformdirs is not installed: {INSTALL}") from missing

    # Without a home directory, some versions raise, and others return a path that begins with ~.
    with suppress(RuntimeError):
        directory = user_data_path("logcommon")
        if directory.is_absolute():
            return directory
    raise EmbeddedServerError(
        f"user {os.geteuid()} has no home directory to keep data in: "
        "set HOME, or name a directory, as embedded:DIRECTORY"
    )


def make_private(directory: Path) -> None:
    """Create `directory` if it does not exist; refuse one that other users could tamper with.

    A user who can write to a directory can put a link there that makes us write somewhere else.

    Raises:
        EmbeddedServerError: The directory or something in it belongs to another user, other users
            can write to it, or it has a symbolic link in it.
        OSError: It can't be created or read.

    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The directory may be a link, to make a long path short. Its owner decides where it leads.
    _require_own(directory, directory.lstat())
    _require_private(directory)


def open_private(path: Path) -> int:
    """Open a file for reading and writing, created if it does not exist; never follow a link."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _require_private(directory: Path) -> None:
    status = directory.stat()
    _require_own(directory, status)
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise EmbeddedServerError(
            f"can't use {directory}: other users can write to it; "
            f"use a new directory below it, or run chmod go-w on it"
        )

    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # a running server removes its temporary files
                _require_safe(entry)


def _require_safe(entry: "os.DirEntry[str]") -> None:
    path = Path(entry.path)
    if entry.is_symlink():
        raise EmbeddedServerError(
            f"can't use {path.parent}: {entry.name} in it is a symbolic link; "
            "remove it, or use another directory"
        )

    _require_own(path, entry.stat(follow_symlinks=False))
    if entry.name == _DATA and entry.is_dir():
        _require_private(path)


def _require_own(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"can't use {path}: it belongs to another user (uid {status.st_uid}); "
            "use a directory of your own, as embedded:DIRECTORY"
        )
