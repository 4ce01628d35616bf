"""Unsettled batches in a file, so that the next process can finish them. Blocking.

A batch is in the file, under its number, before it is sent. So after a crash the marker in Redis
shows for each batch in the file whether it was executed, as it does after a lost reply. The backlog
calls this in a worker thread, one call at a time.
"""

import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from logcommon.exceptions import SpoolError
from logcommon.write.batch import Batch
from logcommon.write.spool_file import SpoolFile
from logcommon.write.spool_records import Contents, Extent, read, record


@dataclass(frozen=True, slots=True)
class Damage:
    """What of a spool could not be read, and where the damaged file is now."""

    aside: Path
    lines: int
    calls: int
    """How many calls are known to be lost."""


class Spool:
    """A file that belongs to one client at a time.

    It has the batches that were numbered, of which the first may have been sent, and a copy of what
    was still in the buffer, which was not sent.

    Args:
        path: The file, which need not exist.

    """

    def __init__(self, path: Path) -> None:
        self._file = SpoolFile(path)
        self._begin(Contents())

    def _begin(self, contents: Contents) -> None:
        self._header_end = contents.header_end
        self._extents = contents.extents
        self._last_settled = contents.settled
        self._has_copy = bool(contents.copy)
        self._has_session = False

        self.producer: str = contents.producer or uuid.uuid4().hex
        self.session: str = secrets.token_hex(8)
        """Tells what this client sends from what one with a copy of the file sends."""
        self.sessions: set[str] = contents.sessions | {self.session}
        """This one, and those that may have sent what was found."""
        self.last_number: int = contents.last_number
        """The last number that a batch on disk was given."""
        self.found: list[Batch] = [
            batch for _, batch in sorted(contents.batches.items())
        ] + contents.copy
        """What was in the file: batches, and then the copy of what was in the buffer."""
        self.damage: Damage | None = None

    def open(self) -> None:
        """Lock the file, creating it if there is none, and read it.

        A damaged file is moved aside, and what can be read of it goes on in a new one.

        Raises:
            SpoolError: The file can't be used, is not a spool, or is in use.

        """
        try:
            data = self._file.open()
            with self._file.reporting():
                contents = read(data)
            self._file.protect()
            self._begin(contents)

            if contents.damaged_lines:
                self._replace_damaged(contents)
        except SpoolError:
            self.close()
            raise

    def close(self) -> None:
        """Unlock the file."""
        self._file.close()

    def close_in_child(self) -> None:
        """Leave the file to the process that this one was forked from."""
        self._file.close_in_child()

    def store(self, unsettled: Sequence[Batch]) -> None:
        """Put these batches on disk, in place of all others; they have numbers, in order.

        Raises:
            SpoolError: The file can't be written to. What it had before is still there.

        """
        settled = unsettled[0].number - 1 if unsettled else self.last_number
        fresh = [batch for batch in unsettled if batch.number > self.last_number]

        is_news = fresh or self._has_copy or settled > self._last_settled
        if is_news or (unsettled and not self._has_session):
            self._append(record("batches", fresh, settled=settled), _last_number_of(fresh))
            self._has_copy = False
            self._note_settled(settled)

    def store_copy(self, waiting: Sequence[Batch], unsettled: Sequence[Batch] = ()) -> None:
        """Put a copy of what is still in the buffer on disk, in place of the last copy.

        Args:
            waiting: What is in the buffer.
            unsettled: What has left it. Some of that is not on disk, if there was no room.

        Raises:
            SpoolError: The file can't be written to. What it had before is still there.

        """
        fresh = [batch for batch in unsettled if batch.number > self.last_number]
        if not (waiting or fresh or self._has_copy):
            return

        lines = self._unsettled_lines()
        if fresh:
            lines.append((_last_number_of(fresh), record("batches", fresh)))
        if waiting:
            lines.append((0, record("copy", waiting)))
        self._replace(lines)
        self._has_copy = bool(waiting)

    def remove(self, number: int) -> None:
        """Remove the batches up to this number, which are settled.

        Raises:
            SpoolError: The file can't be written to.

        """
        if number <= self._last_settled:
            return
        self._note_settled(number)

        if not (self._extents or self._has_copy):
            self._file.truncate(self._header_end)
            self._has_session = False
        self._append(record("settled", settled=number))

    def _replace_damaged(self, contents: Contents) -> None:
        """Move a damaged file aside, and go on with what could be read of it in a new one."""
        aside = self._file.link_aside()
        batches = list(contents.batches.values())
        line = record("batches", batches, settled=contents.settled)

        lines = [(_last_number_of(batches), line)]
        if contents.copy:
            lines.append((0, record("copy", contents.copy)))
        self._replace(lines)
        self.damage = Damage(aside, contents.damaged_lines, contents.lost_calls)

    def _unsettled_lines(self) -> list[tuple[int, bytes]]:
        """Return the records of what is not settled, each with its last number."""
        lines = [(0, record("settled", settled=self._last_settled))]
        for number, start, end in self._extents:
            lines.append((number, self._file.read(start, end)))
        return lines

    def _replace(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Put a new file with these records, each with its number, in place of the old one."""
        header = record("spool", text=self.producer)
        sessions = [record("session", text=session) for session in sorted(self.sessions)]
        data, extents = header + b"".join(sessions), []
        for number, line in lines:
            if number:
                extents.append(Extent(number, len(data), len(data) + len(line)))
            data += line

        self._file.replace(data)
        self._extents, self._header_end, self._has_session = extents, len(header), True
        self._file.sync_name()
        self.last_number = max([self.last_number, *(extent.number for extent in extents)])

    def _append(self, line: bytes, number: int = 0) -> None:
        """Add a record, and before it what has to precede the first one of a session."""
        header = b"" if self._header_end else record("spool", text=self.producer)
        session = b"" if self._has_session else record("session", text=self.session)
        start = self._file.size + len(header) + len(session)

        self._file.append(header + session + line, is_new=bool(header))
        self._header_end = self._header_end or len(header)
        self._has_session = True
        if number:
            self.last_number = number
            self._extents.append(Extent(number, start, self._file.size))

    def _note_settled(self, number: int) -> None:
        self._last_settled = max(self._last_settled, number)
        self.last_number = max(self.last_number, number)
        self._extents = [extent for extent in self._extents if extent.number > number]


def _last_number_of(batches: Sequence[Batch]) -> int:
    return batches[-1].number if batches else 0
