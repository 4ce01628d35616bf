"""Lines become records: recognizes the format, and joins the lines of a long record. No I/O."""

from collections import deque
from collections.abc import Iterable, Iterator

from logcommon.cli.formats.chosen import LINES, format_of
from logcommon.cli.formats.record import LineFormat, Record
from logcommon.messages.tracebacks import TRACEBACK, origin_in

_SAMPLE = 50
"""Lines that a format is recognized by."""

_MOST_HELD = 1000
"""Lines of a record that are held, to find an exception in them."""


class RecordReader:
    """Turns the lines of one file into records.

    A line that begins no record belongs to the one before, if the format has such records, and
    else is a message of its own, as are lines before the first record. What has no time has that of
    the record before it, or of the first one. An exception is counted by its type and place, as
    `logging` does, whether its traceback is in one record or, as in syslog, has one for each line.

    Args:
        line_format: None to recognize it.

    """

    def __init__(self, line_format: LineFormat | None) -> None:
        self._sample: list[str] | None = None if line_format else []
        self._format = line_format or LINES
        self._record: Record | None = None
        self._more: deque[str] = deque(maxlen=_MOST_HELD)
        self._early: list[str] = []
        self._time: float | None = None

    @property
    def format(self) -> LineFormat | None:
        """The format, None if it is not recognized yet."""
        return self._format if self._sample is None else None

    def feed(self, lines: list[str]) -> Iterator[Record]:
        """Yield the records that are complete; the last one may go on."""
        if self._sample is not None:
            self._recognize(lines)
        if self._format == LINES:
            yield from map(Record, lines)
            return
        for line in lines:
            yield from self._feed_line(line)

    def end(self) -> Iterator[Record]:
        """Yield what is held, as if the file ended here."""
        yield from (Record(line, self._time) for line in self._early)
        self._early.clear()
        if self._record is not None:
            yield _complete(self._record, self._more)
        self._record = None
        self._more.clear()

    def _recognize(self, lines: list[str]) -> None:
        sample = [*(self._sample or ()), *lines][:_SAMPLE]
        found = format_of(sample)
        self._format = found or LINES
        self._sample = None if found or len(sample) == _SAMPLE else sample

    def _feed_line(self, line: str) -> Iterator[Record]:
        record = self._format.parse(line)
        if record is None:
            yield from self._feed_rest(line)
        elif self._record is not None and _is_continued(self._record, self._more, record):
            self._more.append(record.message)
        else:
            self._time = record.time or self._time
            yield from self.end()
            self._record = record._replace(time=self._time)
            if not (self._format.has_long_records or record.message.startswith(TRACEBACK)):
                yield from self.end()

    def _feed_rest(self, line: str) -> Iterator[Record]:
        """Take a line that begins no record."""
        if self._record is not None and self._format.has_long_records:
            self._more.append(line)
        elif line.strip():
            self._early.append(line)
            if self._time is not None or len(self._early) >= _MOST_HELD:
                yield from self.end()


def _is_continued(record: Record, more: Iterable[str], following: Record) -> bool:
    """Return whether a record goes on in the next one: in a traceback with a record a line."""
    is_open = record.message.startswith(TRACEBACK) and all(not line[:1].strip() for line in more)
    return is_open and following.name == record.name


def _complete(record: Record, more: Iterable[str]) -> Record:
    text = "\n".join((record.message, *more))
    if TRACEBACK not in text or record.template is not None:
        return record
    return record._replace(template=origin_in(text))
