"""Files, pipes and terminals as chunks of bytes, without blocking the event loop."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from logcommon.cli.failures import UnreadableFileError
from logcommon.cli.lines import LineSplitter
from logcommon.cli.terminal import note

CHUNK = 256 * 1024
"""Bytes read at once."""

STDIN = Path("-")


def require_readable(path: Path, *, follow: bool) -> None:
    """Raise UnreadableFileError unless a file can be read, and followed where that is wanted."""
    if path == STDIN:
        return
    with _explained(path):
        if stat.S_ISFIFO(path.stat().st_mode):
            # To open a pipe and close it again would end whoever writes to it.
            readable = os.access(path, os.R_OK)
        else:
            os.close(_opened(path))
            readable = True
    if not readable:
        raise UnreadableFileError(f"can't read {path}: permission denied")
    if follow and not path.is_file():
        raise UnreadableFileError(f"can't follow {path}: it is not a regular file")


def total_size(paths: list[Path]) -> int | None:
    """Return the bytes in all files together, None where one is not a regular file."""
    if not all(path != STDIN and path.is_file() for path in paths):
        return None
    return sum(path.stat().st_size for path in paths)


class Source:
    """A file, a pipe or a terminal, read once from beginning to end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owned = path != STDIN
        with _explained(path):
            self._file = _opened(path) if self._owned else sys.stdin.fileno()

    async def read(self) -> bytes:
        """Return the next bytes, as soon as there are some; none at the end."""
        with _explained(self._path):
            # Not to wait in a thread, where nothing could end it. What never makes one wait, a
            # regular file, can't be waited for either, and says so.
            with suppress(PermissionError):
                await anyio.wait_readable(self._file)
            return await anyio.to_thread.run_sync(os.read, self._file, CHUNK)

    def close(self) -> None:
        """Close the file, unless it is standard input."""
        if self._owned:
            os.close(self._file)


class FollowedFile:
    """A file that grows, is truncated, or is replaced by another of the same name.

    A file that is truncated and has grown past where it was before anybody looks again can't be
    told from one that has only grown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._splitter = LineSplitter()
        self._position = 0
        self._missed: int | None = None
        with _explained(path):
            self._file = _opened(path)

    async def read(self) -> list[str] | None:
        """Return the lines that have been written since, None where nothing has."""
        with _explained(self._path):
            return await anyio.to_thread.run_sync(self._read)

    def end(self) -> list[str]:
        """Close the file, and return its last line if that has no end."""
        os.close(self._file)
        return self._splitter.end()

    def _read(self) -> list[str] | None:
        # First of all: what was written before the file was replaced is then still read from it.
        replaced = self._is_replaced()
        if chunk := os.read(self._file, CHUNK):
            self._position += len(chunk)
            return self._splitter.feed(chunk)
        if os.fstat(self._file).st_size < self._position:
            os.lseek(self._file, 0, os.SEEK_SET)
        elif not (replaced and self._reopen()):
            return None
        self._position = 0
        return self._splitter.end()

    def _is_replaced(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file))
        except OSError:  # it is not there, perhaps not yet
            return False

    def _reopen(self) -> bool:
        try:
            file = _opened(self._path)
        except OSError as error:
            if error.errno != self._missed:
                note(f"warning: can't read the new {self._path}: {error.strerror}; trying again")
            self._missed = error.errno
            return False
        os.close(self._file)
        self._file, self._missed = file, None
        return True


def _opened(path: Path) -> int:
    # A pipe is opened at once, though nobody may write to it yet.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(file).st_mode):
        os.close(file)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return file


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnreadableFileError(f"can't read {path}: {reason}") from None
