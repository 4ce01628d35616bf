"""What a producer has not settled, in a file, for the next process to finish.

A batch is in the file, under its number, before it is sent. So after a crash the marker in Redis
tells of each batch in the file whether it was executed, as it does after a lost reply. Blocking,
and for one thread at a time: the backlog calls it in a worker thread.
"""

import contextlib
import itertools
import os
import secrets
import stat
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from logcommon.exceptions import SpoolError
from logcommon.write.batch import Batch
from logcommon.write.records import Contents, Extent, read, record

if sys.platform != "win32":
    import fcntl

_OWNER_ONLY = 0o600
_IN_USE = "another client has it: give each process a spool of its own"


@dataclass(frozen=True, slots=True)
class Damage:
    """What could not be read of a spool, and where the file as it was found is now."""

    aside: Path
    lines: int
    calls: int
    """How many calls are known to be lost."""


class Spool:
    """A file that belongs to one client at a time.

    It has the batches that were numbered, of which the first may have been sent, and a copy of what
    was still in the buffer, which was not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._target = path
        self._lock: int | None = None
        self._file: int | None = None
        self._begin(Contents())

    def _begin(self, contents: Contents) -> None:
        self._size = self._header_end = contents.header_end
        self._extents = contents.extents
        self._settled = contents.settled
        self._has_copy = bool(contents.copy)
        self._is_announced = False
        self.producer: str = contents.producer or uuid.uuid4().hex
        self.session: str = secrets.token_hex(8)
        """Tells what this client sends from what one with a copy of the file sends."""
        self.sessions: set[str] = contents.sessions | {self.session}
        """This one, and those that may have sent what was found."""
        self.number: int = contents.number
        """The last number that a batch on disk was given."""
        self.found: list[Batch] = [
            *(batch for _, batch in sorted(contents.batches.items())),
            *contents.copy,
        ]
        """What was in the file, the copy of what was in the buffer last."""
        self.damage: Damage | None = None

    def open(self) -> None:
        """Lock the file, creating it if there is none, and read it.

        A damaged file is moved aside, and what can be read of it goes on in a new one.

        Raises:
            SpoolError: The file can't be used, is no spool, or is in use.

        """
        try:
            self._target = self._path.resolve()  # two links to a spool have one lock
            self._take_lock()
            self._file = os.open(self._target, os.O_RDWR | os.O_CREAT, 0o600)
            self._load(_read_all(self._file))
        except (OSError, ValueError, TypeError) as error:
            self.close()
            raise SpoolError(self._path, _explain(error)) from None

    def keep(self, unsettled: Sequence[Batch]) -> None:
        """Have these batches on disk, and nothing else; all have numbers, in order."""
        settled = unsettled[0].number - 1 if unsettled else self.number
        fresh = [batch for batch in unsettled if batch.number > self.number]
        is_news = fresh or self._has_copy or settled > self._settled
        if is_news or (unsettled and not self._is_announced):
            self._append(record("batches", fresh, settled=settled), last_number(fresh))
            self._has_copy = False
            self._note_settled(settled)

    def copy(self, waiting: Sequence[Batch], unsettled: Sequence[Batch] = ()) -> None:
        """Have a copy of what is still in the buffer, in place of the last one.

        Args:
            waiting: What is in the buffer.
            unsettled: What has left it. Some of that is not on disk, if there was no room.

        """
        fresh = [batch for batch in unsettled if batch.number > self.number]
        if not (waiting or fresh or self._has_copy):
            return
        lines = self._held_lines()
        if fresh:
            lines.append((last_number(fresh), record("batches", fresh)))
        if waiting:
            lines.append((0, record("copy", waiting)))
        self._replace(lines)
        self._has_copy = bool(waiting)

    def forget(self, number: int) -> None:
        """Take out the batches up to this one, which are settled."""
        if number <= self._settled:
            return
        self._note_settled(number)
        with self._reporting():
            if not (self._extents or self._has_copy):
                self._truncate(self._header_end)
                self._is_announced = False
            self._append(record("settled", settled=number))

    def close(self) -> None:
        """Unlock the file."""
        if self._lock is not None:
            # Closing is not enough: a process forked meanwhile has a copy, and would keep the lock.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self.abandon()

    def abandon(self) -> None:
        """Leave the file to the process that this one was forked from."""
        # The lock is the parent's to release. But while it is open here, it outlasts the parent.
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    def _take_lock(self) -> None:
        if sys.platform == "win32":
            raise ValueError("there is no spool on Windows")
        # On a file of its own, as the data is replaced. It is never deleted: else one process could
        # lock the deleted file, and another the next.
        path = self._target.with_name(self._target.name + ".lock")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(_IN_USE) from None

    def _load(self, data: bytes) -> None:
        contents = read(data)
        if stat.S_IMODE(os.fstat(self._require_file()).st_mode) != _OWNER_ONLY:
            os.fchmod(self._require_file(), _OWNER_ONLY)  # messages are in it
        self._begin(contents)
        self._size = len(data)
        if contents.damaged_lines:
            self._mend(contents)

    def _mend(self, contents: Contents) -> None:
        """Move a damaged file aside, and go on with what could be read of it in a new one."""
        aside = self._move_aside()
        batches = list(contents.batches.values())
        settled = record("batches", batches, settled=contents.settled)
        lines = [(last_number(batches), settled)]
        if contents.copy:
            lines.append((0, record("copy", contents.copy)))
        self._replace(lines)
        self.damage = Damage(aside, contents.damaged_lines, contents.lost_calls)

    def _move_aside(self) -> Path:
        name = f"{self._target.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        for number in itertools.count(1):
            aside = self._target.with_name(name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                # The new file takes the old one's place at once, and this never replaces another.
                aside.hardlink_to(self._target)
                break
        return aside

    def _held_lines(self) -> list[tuple[int, bytes]]:
        """Return the records of what is not settled, each with its last number."""
        settled = record("settled", settled=self._settled)
        with self._reporting():
            held = [
                (number, os.pread(self._require_file(), end - start, start))
                for number, start, end in self._extents
            ]
        return [(0, settled), *held]

    def _replace(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Put a new file in the place of the old one, with these records and their numbers."""
        new = self._target.with_name(self._target.name + ".new")
        old = self._require_file()
        header = record("spool", text=self.producer)
        sessions = [record("session", text=session) for session in sorted(self.sessions)]
        data, extents = header + b"".join(sessions), []
        for number, line in lines:
            if number:
                extents.append(Extent(number, len(data), len(data) + len(line)))
            data += line
        with self._reporting():
            new.unlink(missing_ok=True)
            file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
            try:
                _write(file, data, 0)
                new.replace(self._target)
            except BaseException:
                os.close(file)
                new.unlink(missing_ok=True)
                raise
            self._file, self._extents, self._is_announced = file, extents, True
            self._header_end, self._size = len(header), len(data)
            os.close(old)
            _sync_folder(self._target)
        self.number = max([self.number, *(extent.number for extent in extents)])

    def _append(self, line: bytes, number: int = 0) -> None:
        """Add a record to the file, and what is to come before the first one of a session."""
        header = b"" if self._header_end else record("spool", text=self.producer)
        session = b"" if self._is_announced else record("session", text=self.session)
        start = self._size + len(header) + len(session)
        with self._reporting():
            try:
                _write(self._require_file(), header + session + line, self._size)
            except OSError:
                self._truncate(self._size)
                raise
            if header:
                _sync_folder(self._target)
        self._header_end = self._header_end or len(header)
        self._is_announced = True
        self._size = start + len(line)
        if number:
            self.number = number
            self._extents.append(Extent(number, start, self._size))

    def _truncate(self, size: int) -> None:
        os.ftruncate(self._require_file(), size)
        self._size = size

    def _note_settled(self, number: int) -> None:
        self._settled = max(self._settled, number)
        self.number = max(self.number, number)
        self._extents = [extent for extent in self._extents if extent.number > number]

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(self._path, _explain(error)) from None

    def _require_file(self) -> int:
        if self._file is None:
            raise SpoolError(self._path, "it is closed")
        return self._file


def last_number(batches: Sequence[Batch]) -> int:
    """Return the last number of batches, 0 if there are none."""
    return batches[-1].number if batches else 0


def _explain(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _read_all(file: int) -> bytes:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise ValueError("it is no regular file; give another path")
    with open(file, "rb", closefd=False) as stream:
        return stream.read()


def _write(file: int, data: bytes, start: int) -> None:
    """Write to disk, all of it."""
    position = start
    while position < start + len(data):
        position += os.pwrite(file, data[position - start :], position)
    _sync(file)


_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def _sync_folder(path: Path) -> None:
    """Have the name of a new file on disk too."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
