"""What a producer has not settled, in one SQLite file, for the next process to finish.

A batch is in the file, under its number, before it is sent. So after a crash the producer's marker
in Redis tells of each batch in the file whether it was executed, as it does after a lost reply.
Blocking, and for one thread at a time: the backlog calls it in a worker thread.
"""

import contextlib
import ctypes
import json
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from logcommon.exceptions import SpoolError
from logcommon.model import Destination
from logcommon.write.batch import Batch

_APPLICATION = 0x6C6F6731  # "log1": another form of the file is to have another number

# FULL: what was executed in Redis must not be older on disk, even after the power went.
_PRAGMAS = ("PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")

_TABLES = (
    f"PRAGMA application_id={_APPLICATION}",
    "CREATE TABLE producer (id TEXT NOT NULL, number INTEGER NOT NULL)",
    "CREATE TABLE batch (number INTEGER PRIMARY KEY, content TEXT NOT NULL)",
    "CREATE TABLE copy (content TEXT NOT NULL)",
)


class Spool:
    """A file that belongs to one producer at a time, and to no other client.

    It has the batches that were numbered, of which the first may have been sent, and a copy of what
    was still in the buffer, which was not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.producer = ""
        self.number = 0
        """The last number given to a batch."""
        self.found: list[Batch] = []
        """What was in the file. A batch without a number is the copy of what was in a buffer."""

    def open(self) -> None:
        """Lock the file, creating it where there is none, and read it.

        Raises:
            SpoolError: The file can't be used, is no spool, or is in use.

        """
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # messages are in it
            self._connection = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
            is_new = self._is_empty(self._connection)
            for pragma in _PRAGMAS:
                self._connection.execute(pragma)
            self._read(is_new)
        except (OSError, sqlite3.Error, ValueError) as error:
            self.close()
            raise SpoolError(self._path, error) from None
        except SpoolError:
            self.close()
            raise

    def keep(self, unsettled: Sequence[Batch]) -> None:
        """Have these batches on disk, and nothing else; all have numbers, in order."""
        first = unsettled[0].number if unsettled else self.number + 1
        fresh = [batch for batch in unsettled if batch.number > self.number]
        with self._transaction() as execute:
            execute("DELETE FROM copy")
            execute("DELETE FROM batch WHERE number < ?", (first,))
            for batch in fresh:
                execute("INSERT INTO batch VALUES (?, ?)", (batch.number, _encode(batch)))
                execute("UPDATE producer SET number = ?", (batch.number,))
        if fresh:
            self.number = fresh[-1].number

    def copy(self, waiting: Iterable[Batch]) -> None:
        """Have a copy of what is still in the buffer, in place of the last copy."""
        contents = map(_encode, waiting)
        with self._transaction() as execute:
            execute("DELETE FROM copy")
            for content in contents:
                execute("INSERT INTO copy VALUES (?)", (content,))

    def forget(self, number: int) -> None:
        """Take out the batches up to this one, which are settled."""
        with self._transaction() as execute:
            execute("DELETE FROM batch WHERE number <= ?", (number,))

    def close(self) -> None:
        """Unlock the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """Leave the file to the process that this one was forked from."""
        # SQLite can't be carried over a fork: closing would tidy up under the parent's hands, and
        # so would the garbage collector. So the child keeps this connection for good.
        connection, self._connection = self._connection, None
        if connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    @staticmethod
    def _is_empty(connection: sqlite3.Connection) -> bool:
        """Tell an empty file from a spool, and refuse any other before it is changed."""
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if tables and application != _APPLICATION:
            raise ValueError("it is not a spool")
        return not tables

    def _read(self, is_new: bool) -> None:  # noqa: FBT001
        with self._transaction() as execute:
            if is_new:
                for statement in _TABLES:
                    execute(statement)
                execute("INSERT INTO producer VALUES (?, 0)", (uuid.uuid4().hex,))
            self.producer, self.number = execute("SELECT id, number FROM producer").fetchone()
            numbered = execute("SELECT content, number FROM batch ORDER BY number").fetchall()
            copied = execute("SELECT content, 0 FROM copy ORDER BY rowid").fetchall()
        self.found = [_decode(content, number) for content, number in numbered + copied]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        connection = self._require_connection()
        try:
            connection.execute("BEGIN EXCLUSIVE")
            with connection:  # commits, or rolls back
                yield connection.execute
        except sqlite3.Error as error:
            raise SpoolError(self._path, error) from None

    def _require_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SpoolError(self._path, ValueError("it is closed"))
        return self._connection


def _encode(batch: Batch) -> str:
    counts = [[*group[0], group[1], messages] for group, messages in batch.counts.items()]
    recent = [[*destination, entries] for destination, entries in batch.recent.items()]
    return json.dumps([counts, recent])


def _decode(content: str, number: int) -> Batch:
    counts, recent = json.loads(content)
    return Batch(
        counts={(Destination(name, level), hour): found for name, level, hour, found in counts},
        recent={
            Destination(name, level): [(message, seconds) for message, seconds in entries]
            for name, level, entries in recent
        },
        number=number,
    )
