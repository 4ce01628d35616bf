"""Logs what is in files, once or for as long as they grow, and waits for Redis in between."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TimeRemainingColumn,
)

from logcommon.cli.files import STDIN, LineSplitter, Source, total_size
from logcommon.cli.followed import FollowedFile
from logcommon.cli.formats.chosen import LINES
from logcommon.cli.formats.record import LineFormat, Record
from logcommon.cli.output import note, progress_console
from logcommon.cli.recorder import Recorder
from logcommon.cli.records import RecordReader
from logcommon.client import CommonLog

_POLL = 0.2
"""Seconds between checks whether files have grown."""


class Feed:
    """Logs what is in files, and waits until Redis has one chunk before it reads the next.

    Args:
        log: An open client, whose clock is the recorder's.
        recorder: Decides where each record is counted.
        line_format: The format of all files, None to recognize that of each.

    """

    def __init__(self, log: CommonLog, recorder: Recorder, line_format: LineFormat | None) -> None:
        self._log = log
        self._recorder = recorder
        self._format = line_format

    async def read(self, paths: list[Path]) -> None:
        """Log what is in files, one file after another."""
        with _progress(total_size(paths)) as advance:
            for path in paths:
                await self._read_one(path, advance)

    async def follow(self, paths: list[Path]) -> None:
        """Log what is in files, and what is added to them, until cancelled."""
        with ExitStack() as stack:
            followed = [(FollowedFile(path), self._lines(path)) for path in paths]
            for file, lines in followed:
                stack.callback(_end, file, lines)
            while True:
                found = [await self._read_more(file, lines) for file, lines in followed]
                if not any(found):
                    await anyio.sleep(_POLL)

    async def _read_one(self, path: Path, advance: Callable[[int], None]) -> None:
        source, splitter, lines, done = Source(path), LineSplitter(), self._lines(path), 0

        try:
            while chunk := await source.read():
                lines.put(splitter.feed(chunk))
                advance(source.bytes_read - done)
                done = source.bytes_read
                await self._log.flush()
        finally:
            # Even if a signal ended the reading: closing the client writes these.
            lines.put_last([*splitter.feed(source.close()), *splitter.end()])

    async def _read_more(self, file: FollowedFile, lines: "_Lines") -> bool:
        found = await file.read()
        if found is None:
            lines.put_held()
            return False
        lines.put(found)
        await self._log.flush()
        return True

    def _lines(self, path: Path) -> "_Lines":
        return _Lines(self._log, self._recorder, RecordReader(self._format), path)


class _Lines:
    """The lines of one file, on their way to become records and be put."""

    def __init__(
        self, log: CommonLog, recorder: Recorder, reader: RecordReader, path: Path
    ) -> None:
        self._log = log
        self._recorder = recorder
        self._reader = reader
        self._path = path
        self._is_announced = reader.format is not None
        self._name = "stdin" if path == STDIN else path.name.split(".")[0] or path.name

    def put(self, lines: list[str]) -> None:
        """Put the records that are complete."""
        self._recorder.lines += len(lines)
        self._put_all(self._reader.feed(lines))
        if self._reader.format is not None:
            self._announce(self._reader.format)

    def put_held(self) -> None:
        """Put a record that might have gone on."""
        self._put_all(self._reader.end())

    def put_last(self, lines: list[str]) -> None:
        """Put what is left, with the last lines."""
        self.put(lines)
        self.put_held()
        self._announce(LINES)

    def _put_all(self, records: Iterator[Record]) -> None:
        for record in records:
            self._recorder.put(self._log, record, self._name)

    def _announce(self, recognized: LineFormat) -> None:
        if self._is_announced:
            return
        self._is_announced = True
        where = "standard input" if self._path == STDIN else self._path.name
        is_plain = recognized == LINES
        note(f"{where}: {'each line is a message' if is_plain else f'format {recognized.name}'}")


def _end(file: FollowedFile, lines: _Lines) -> None:
    lines.put_last(file.end())


@contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that adds bytes to the progress shown on a terminal."""
    console = progress_console()
    if size is None or not console.is_terminal:
        yield lambda _: None
        return
    columns = (BarColumn(), TaskProgressColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("ingest", total=size)
        yield lambda done: progress.advance(task, done)
