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

from logcommon.cli.compressed import (
    LONGEST_BEGINNING,
    CompressedDataError,
    Expander,
    format_of,
)
from logcommon.cli.failures import UnreadableFileError

CHUNK = 256 * 1024
"""Bytes read at once."""

STDIN = Path("-")


def require_readable(path: Path, *, follow: bool) -> None:
    """Raise UnreadableFileError unless a file can be read or, with `follow`, followed.

    A file that is to be followed need not exist yet.
    """
    if path == STDIN:
        return
    with explained(path):
        try:
            is_pipe = stat.S_ISFIFO(path.stat().st_mode)
        except FileNotFoundError:
            if follow:
                return
            raise
        if follow:
            _require_followable(path)
        elif is_pipe:
            # To open a pipe and close it again would end whoever writes to it.
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, "permission denied")
        else:
            os.close(opened(path))


def _require_followable(path: Path) -> None:
    if not path.is_file():
        raise UnreadableFileError(f"can't follow {path}: it is not a regular file")
    file = opened(path)
    try:
        require_uncompressed(os.pread(file, LONGEST_BEGINNING, 0))
    finally:
        os.close(file)


def total_size(paths: list[Path]) -> int | None:
    """Return the bytes in all files together, None where one is not a regular file."""
    if not all(path != STDIN and path.is_file() for path in paths):
        return None
    return sum(path.stat().st_size for path in paths)


class Source:
    """A file, a pipe or a terminal, read once from beginning to end, decompressed if need be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owned = path != STDIN
        self._expander = Expander(CHUNK)
        self._content: Iterator[bytes] | None = None
        self.bytes_read: int = 0
        """Bytes read so far, before decompression."""
        with explained(path):
            self._file = opened(path) if self._owned else sys.stdin.fileno()

    async def read(self) -> bytes:
        """Return the next bytes of the content, as soon as there are some; none at the end.

        Raises:
            UnreadableFileError: The file can't be read, or its compressed data is damaged or has
                no end.

        """
        with explained(self._path):
            while True:
                if self._content is None:
                    # Not to wait in a thread, where nothing could end it. What never makes one
                    # wait, a regular file, can't be waited for either, and says so.
                    with suppress(PermissionError):
                        await anyio.wait_readable(self._file)
                content = await anyio.to_thread.run_sync(self._step)
                if content is not None:
                    return content

    def close(self) -> bytes:
        """Close the file, unless it is standard input; return bytes read and not returned yet."""
        if self._owned:
            os.close(self._file)
        return self._expander.rest()

    def _step(self) -> bytes | None:
        """Return the next bytes of the content, None if more must be read for that."""
        if self._content is None:
            data = os.read(self._file, CHUNK)
            if not data:
                return self._expander.end()
            self.bytes_read += len(data)
            self._content = self._expander.feed(data)

        content = next(self._content, None)
        if content is None:
            self._content = None
        return content


def opened(path: Path, *, only_regular: bool = False) -> int:
    """Open a file for reading; a pipe at once, although nobody may write to it yet."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(file).st_mode
    if stat.S_ISDIR(mode):
        os.close(file)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if only_regular and not stat.S_ISREG(mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def require_uncompressed(beginning: bytes) -> None:
    """Raise CompressedDataError if the first bytes of a followed file are compressed data."""
    if kind := format_of(beginning):
        raise CompressedDataError(
            f"it is compressed with {kind.name} and can't be followed; read it without --follow"
        )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error in reading a file into one for the user."""
    try:
        yield
    except CompressedDataError as error:
        raise UnreadableFileError(f"can't read {path}: {error}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnreadableFileError(f"can't read {path}: {reason}") from None
