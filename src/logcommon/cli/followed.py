"""A file that grows, is truncated, or is replaced by another of the same name."""

import os
from pathlib import Path

import anyio.to_thread

from logcommon.cli.files import (
    CHUNK,
    LineSplitter,
    explain_errors,
    open_file,
    require_uncompressed,
)
from logcommon.cli.output import note
from logcommon.cli.siblings import Siblings

_FINGERPRINT = 1024
"""Bytes compared at both ends of what was read: if they differ, the file was truncated."""


class FollowedFile:
    """The lines of a file, and of the files that replace it. It need not exist yet.

    After it is replaced, the old file is still read, as its writer takes a moment to switch. Files
    that came and went between two looks are found beside it by their names.

    A file was truncated if the bytes that were read from it have changed, even if it has grown
    since. What was written shortly before that is read from the copy beside it.

    Lines are missed if no uncompressed file contains them at the time of a look.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._missed: int | None = None
        with explain_errors(path):
            self._siblings = Siblings(path)
            self._generations: list[_Generation] = []
            if path.exists():
                self._generations.append(_Generation(open_file(path, only_regular=True)))
            else:
                note(f"waiting for {path}, which does not exist yet")

    async def read(self) -> list[str] | None:
        """Return lines that were written since the last call, or None if nothing was.

        Raises:
            UnreadableFileError: The file can't be read, or is compressed.

        """
        with explain_errors(self._path):
            return await anyio.to_thread.run_sync(self._read)

    def end(self) -> list[str]:
        """Close the file, and return a last line without a line end."""
        return [line for each in self._generations for line in each.close()]

    def _read(self) -> list[str] | None:
        # Before reading, so that what was written before a replacement is read first.
        while self._look():
            pass
        for generation in self._generations:
            is_old = generation is not self._generations[-1]
            if is_old:
                generation.expect(generation.beginning())
            if (lines := generation.read()) is not None:
                return lines
            if is_old and (lines := generation.end()):
                return lines

        self._close_old_files()
        return None

    def _look(self) -> bool:
        """Return whether the file was replaced or truncated; then the new one needs a look too."""
        current = self._generations[-1] if self._generations else None
        if self._is_replaced(current):
            return self._take_new_file(current)
        if current is None:
            return False

        is_truncated = not current.is_read_from(current.file)
        if not is_truncated and not current.is_unread:
            return False

        # As long as nothing was read, a new copy may be all that shows that it was truncated.
        beginning = current.beginning()
        copies = self._siblings.open_new(ours=self._files(), current=current.file)
        if self._is_replaced(current):
            self._siblings.put_back(copies)
        elif is_truncated or copies:
            self._begin_again(current, copies)
        else:
            current.expect(beginning)
            return False
        return True

    def _is_replaced(self, current: "_Generation | None") -> bool:
        try:
            found = self._path.stat()
        except OSError:  # it does not exist, or not yet
            return False
        return current is None or not os.path.samestat(found, os.fstat(current.file))

    def _take_new_file(self, current: "_Generation | None") -> bool:
        file = self._open_new_file()
        if file is None:
            if current:
                current.expect(current.beginning())
            return False

        # Files older than the current one were rotated before it.
        since = os.fstat(current.file).st_mtime_ns if current else 0
        between = self._siblings.open_new(ours=[*self._files(), file], since=since)
        self._add(between, _Generation(file))
        return True

    def _begin_again(self, current: "_Generation", copies: list[int]) -> None:
        """Read a truncated file from its beginning, after the rest of its former content."""
        truncated = current.file
        while copies and not current.is_read_from(copies[0]):
            os.close(copies.pop(0))
        # Without a copy, the rest is lost.
        current.file = copies.pop(0) if copies else os.open(os.devnull, os.O_RDONLY)
        self._add(copies, _Generation(truncated, is_truncated=True))

    def _add(self, between: list[int], newest: "_Generation") -> None:
        for generation in self._generations[:-1]:
            generation.is_out_of_use = True
        self._generations += [*map(_Generation, between), newest]

    def _close_old_files(self) -> None:
        """Close old files that are no longer written to; all were read to their ends."""
        for generation in self._generations[:-1]:
            if generation.is_finished:
                generation.close()
                self._generations.remove(generation)

    def _open_new_file(self) -> int | None:
        try:
            file = open_file(self._path, only_regular=True)
        except OSError as error:
            if error.errno != self._missed:
                note(f"warning: can't read the new {self._path}: {error.strerror}; trying again")
            self._missed = error.errno
            return None
        self._missed = None
        return file

    def _files(self) -> list[int]:
        return [each.file for each in self._generations]


class _Generation:
    """One of the files that had the name, and how far it was read."""

    def __init__(self, file: int, *, is_truncated: bool = False) -> None:
        self.file = file
        self.is_out_of_use = False
        """Whether two files replaced it since, so that it is no longer written to."""
        self._splitter = LineSplitter()
        self._position = 0
        self._first = self._last = b""
        # A writer that continues at the former end leaves a gap, which reads as zeros.
        self._is_in_gap = is_truncated

    def beginning(self) -> bytes:
        """Return the first bytes of the file as it is now."""
        return os.pread(self.file, _FINGERPRINT, 0)

    def expect(self, beginning: bytes) -> None:
        """Read an unread file only if it begins with these bytes: else it was truncated."""
        if self.is_unread:
            self._first = beginning

    def read(self) -> list[str] | None:
        """Return the next lines, or None if there is nothing more.

        An unread file is read only if it begins as expected.

        Raises:
            CompressedDataError: The file is compressed.

        """
        if not self._first:
            return None
        chunk = os.pread(self.file, CHUNK, self._position)
        # If it was truncated since the last look, the next one finds what to read first.
        if not chunk or not self.is_read_from(self.file):
            return None
        if self._position == 0:
            require_uncompressed(chunk)

        self._first += chunk[len(self._first) - self._position : _FINGERPRINT - self._position]
        self._position += len(chunk)
        self._last = (self._last + chunk)[-_FINGERPRINT:]
        if self._is_in_gap:
            chunk = chunk.lstrip(b"\0")
            self._is_in_gap = not chunk
        return self._splitter.feed(chunk)

    def end(self) -> list[str]:
        """Return a last line without a line end."""
        return self._splitter.end()

    def close(self) -> list[str]:
        """Close the file, and return a last line without a line end."""
        os.close(self.file)
        return self.end()

    def is_read_from(self, file: int) -> bool:
        """Return whether `file` contains what was read so far, judged by both ends of that."""
        last_at = self._position - len(self._last)
        return (
            os.pread(file, len(self._first), 0) == self._first
            and os.pread(file, len(self._last), last_at) == self._last
        )

    @property
    def is_unread(self) -> bool:
        """Whether nothing was read from it yet."""
        return self._position == 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing more can be written to it."""
        return self.is_out_of_use or os.fstat(self.file).st_nlink == 0
