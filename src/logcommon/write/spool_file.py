"""The file of a spool on disk: locked, written and synced. Blocking.

All methods raise SpoolError for what the operating system refuses.
"""

import contextlib
import itertools
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from logcommon.exceptions import SpoolError

if sys.platform != "win32":  # pragma: no branch  # CI does not run on Windows
    import fcntl

_OWNER_ONLY = 0o600
_IN_USE = "another client has it: give each process a spool of its own"


class SpoolFile:
    """A file that is locked while it is open, so that it belongs to one client at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._resolved = path
        self._lock: int | None = None
        self._file: int | None = None
        self.size: int = 0
        """Where the next record is written."""

    @property
    def descriptor(self) -> int:
        """The descriptor of the open file."""
        if self._file is None:
            raise SpoolError(self._path, "it is closed")
        return self._file

    def open(self) -> bytes:
        """Lock the file, creating it if there is none, and return what is in it."""
        with self.reporting():
            self._resolved = self._path.resolve()  # two links to a spool have one lock
            self._take_lock()
            self._file = os.open(self._resolved, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
            data = _read_all(self._file)
        self.size = len(data)
        return data

    def protect(self) -> None:
        """Make the file readable by its owner only: it has messages in it."""
        with self.reporting():
            if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != _OWNER_ONLY:
                os.fchmod(self.descriptor, _OWNER_ONLY)

    def close(self) -> None:
        """Unlock and close the file."""
        if self._lock is not None:
            # Closing is not enough: a process forked meanwhile has a copy, and would keep the lock.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self.close_in_child()

    def close_in_child(self) -> None:
        """Close the file in a forked child, and leave the lock to the parent."""
        # An open copy here would keep the file locked after the parent has ended.
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        with self.reporting():
            return os.pread(self.descriptor, end - start, start)

    def append(self, data: bytes, *, is_new: bool) -> None:
        """Write to the end of the file, and to disk; also the name, if the file `is_new`."""
        with self.reporting():
            try:
                _write(self.descriptor, data, self.size)
                if is_new:
                    _sync_folder(self._resolved)
            except OSError:
                self.truncate(self.size)
                raise
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Cut the file off."""
        with self.reporting():
            os.ftruncate(self.descriptor, size)
        self.size = size

    def replace(self, data: bytes) -> None:
        """Put a new file in the place of the old one; call `sync_name` afterwards."""
        new, old = self._resolved.with_name(self._resolved.name + ".new"), self.descriptor
        with self.reporting():
            new.unlink(missing_ok=True)
            file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
            try:
                _write(file, data, 0)
                new.replace(self._resolved)
            except BaseException:
                os.close(file)
                new.unlink(missing_ok=True)
                raise

            self._file, self.size = file, len(data)
            os.close(old)

    def sync_name(self) -> None:
        """Write the name of a new file to disk."""
        with self.reporting():
            _sync_folder(self._resolved)

    def link_aside(self) -> Path:
        """Give the file, which is damaged, a second name that no other file has; return that."""
        name = f"{self._resolved.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        for number in itertools.count(1):  # pragma: no branch  # endless
            aside = self._resolved.with_name(name if number == 1 else f"{name}-{number}")
            with self.reporting(), contextlib.suppress(FileExistsError):
                # This never replaces another file, and the spool is never without one.
                aside.hardlink_to(self._resolved)
                break
        return aside

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Raise SpoolError in place of what the system, or the content of the file, raises."""
        try:
            yield
        except (OSError, ValueError, TypeError) as error:
            text = (isinstance(error, OSError) and error.strerror) or str(error)
            raise SpoolError(self._path, text) from None

    def _take_lock(self) -> None:
        if sys.platform == "win32":  # pragma: no cover  # CI does not run on Windows
            raise ValueError("there is no spool on Windows")

        # On a file of its own, as the data is replaced. It is never deleted: else one process could
        # lock the deleted file, and another the next.
        path = self._resolved.with_name(self._resolved.name + ".lock")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(_IN_USE) from None


def _read_all(file: int) -> bytes:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise ValueError("it is not a regular file; give another path")
    with open(file, "rb", closefd=False) as stream:
        return stream.read()


def _write(file: int, data: bytes, start: int) -> None:
    """Write all of `data`, to disk."""
    position = start
    while position < start + len(data):
        position += os.pwrite(file, data[position - start :], position)
    _sync(file)


_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
