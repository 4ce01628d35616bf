"""Reads files, pipes and terminals in chunks of bytes, and splits these into lines.

Reading never blocks the event loop.
"""

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
"""Bytes read at a time."""

LONGEST_LINE = 64 * 1024
"""Bytes kept of a line; the rest of a longer one is left out."""

STDIN = Path("-")


def require_readable(path: Path, *, follow: bool) -> None:
    """Raise UnreadableFileError unless a file can be read or, with `follow`, followed.

    A file to follow need not exist yet.
    """
    if path == STDIN:
        return
    with explain_errors(path):
        try:
            is_pipe = stat.S_ISFIFO(path.stat().st_mode)
        except FileNotFoundError:
            if follow:
                return
            raise

        if follow:
            _require_followable(path)
        elif is_pipe:
            # Opening a pipe and closing it again would break it for its writer.
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, "permission denied")
        else:
            os.close(open_file(path))


def _require_followable(path: Path) -> None:
    if not path.is_file():
        raise UnreadableFileError(f"can't follow {path}: it is not a regular file")
    file = open_file(path)
    try:
        require_uncompressed(os.pread(file, LONGEST_BEGINNING, 0))
    finally:
        os.close(file)


def total_size(paths: list[Path]) -> int | None:
    """Return the bytes in all files together, or None if one is not a regular file."""
    if not all(path != STDIN and path.is_file() for path in paths):
        return None
    return sum(path.stat().st_size for path in paths)


class Source:
    """A file, pipe or terminal, read once from beginning to end, and decompressed if necessary."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owned = path != STDIN
        self._expander = Expander(CHUNK)
        self._content: Iterator[bytes] | None = None
        self.bytes_read: int = 0
        """Bytes read so far, before decompression."""
        with explain_errors(path):
            self._file = open_file(path) if self._owned else sys.stdin.fileno()

    async def read(self) -> bytes:
        """Return the next bytes of the content, once there are any; empty bytes at the end.

        Raises:
            UnreadableFileError: The file can't be read, or its compressed data is damaged or has
                no end.

        """
        with explain_errors(self._path):
            while True:
                if self._content is None:
                    # Waiting in a thread could not be cancelled. A regular file, which is always
                    # readable, can't be waited for and raises PermissionError.
                    with suppress(PermissionError):
                        await anyio.wait_readable(self._file)
                content = await anyio.to_thread.run_sync(self._next_content)
                if content is not None:
                    return content

    def close(self) -> bytes:
        """Close the file, unless it is standard input; return bytes that were held back."""
        if self._owned:
            os.close(self._file)
        return self._expander.rest()

    def _next_content(self) -> bytes | None:
        """Return the next bytes of the content, or None if more must be read first."""
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


def open_file(path: Path, *, only_regular: bool = False) -> int:
    """Open a file for reading, without waiting for the writer of a pipe."""
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
def explain_errors(path: Path) -> Iterator[None]:
    """Turn an error in reading a file into one that names the file."""
    try:
        yield
    except CompressedDataError as error:
        raise UnreadableFileError(f"can't read {path}: {error}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnreadableFileError(f"can't read {path}: {reason}") from None


class LineSplitter:
    """Turns chunks of bytes into lines of text; a line may span chunks.

    A line ends with LF or CR LF. Bytes that are not UTF-8 become replacement characters. Memory is
    bounded by the longest chunk, even if a line never ends.
    """

    def __init__(self) -> None:
        self._unfinished = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that end in `chunk`."""
        pieces = chunk.split(b"\n")
        pieces[0] = self._unfinished + pieces[0]
        # One byte more than is kept, as it may be the CR of a line's end.
        self._unfinished = pieces.pop()[: LONGEST_LINE + 1]
        return list(map(_decoded, pieces))

    def end(self) -> list[str]:
        """Return a last line without a line end, and start over."""
        rest, self._unfinished = self._unfinished, b""
        return [_decoded(rest)] if rest else []


def _decoded(line: bytes) -> str:
    return line.removesuffix(b"\r")[:LONGEST_LINE].decode("utf-8", "replace")
