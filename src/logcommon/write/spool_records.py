"""The records in a spool's file: one a line, each part of it with a checksum. No I/O.

A line has parts, separated by tabs: first the head, then a part for each batch. The head says how
many calls each batch stands for, so that these can be counted even if the batch is damaged. JSON as
it is written here has no tabs and no line breaks, so damage never spreads beyond its own lines.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from logcommon.model import Destination
from logcommon.write.batch import Batch

Kind = Literal["spool", "session", "batches", "copy", "settled"]
"""`spool` is the first line. A `copy` of the buffer is valid until `batches` follow it."""

MAGIC = b"logcommon spool 2"

_EARLIER_FORM = b"SQLite format 3\0"
_EARLIER_APPLICATION = b"log1"

_CHECKSUM_DIGITS = 8
_HEAD_LENGTH, _BATCH_LENGTH = 4, 5
_LENGTHS = range(_BATCH_LENGTH, _BATCH_LENGTH + 3)
"""Earlier versions wrote no minutes, and before that no examples."""


def record(kind: Kind, batches: Sequence[Batch] = (), *, settled: int = 0, text: str = "") -> bytes:
    """Return a line of the file.

    Args:
        kind: The kind of record.
        batches: The batches in it, in the order of their numbers.
        settled: The number up to which batches are settled.
        text: The id of the producer for `spool`, of the session for `session`.

    """
    calls = [[batch.number, batch.calls] for batch in batches]
    parts = [
        _encode_part([kind, settled, calls, text]),
        *(_encode_part(_values(batch)) for batch in batches),
    ]
    return (MAGIC + b"\t" if kind == "spool" else b"") + b"\t".join(parts) + b"\n"


class Extent(NamedTuple):
    """Where in the file the record is whose last batch is `number`."""

    number: int
    start: int
    end: int


@dataclass
class Contents:
    """What a file contains."""

    producer: str = ""
    sessions: set[str] = field(default_factory=set)
    settled: int = 0
    batches: dict[int, Batch] = field(default_factory=dict)
    copy: list[Batch] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    header_end: int = 0
    damaged_lines: int = 0
    lost: dict[int, int] = field(default_factory=dict)
    """The calls of each batch that can't be read, by its number."""
    lost_copy: int = 0
    """The calls of the copy that can't be read."""

    @property
    def last_number(self) -> int:
        """The last number that a batch on disk was given."""
        return max(self.settled, *self.batches, *self.lost, 0)

    @property
    def lost_calls(self) -> int:
        """How many calls that can't be read are known of."""
        return sum(self.lost.values()) + self.lost_copy

    def add(self, line: "_Line", start: int, end: int) -> None:
        """Add what the next line says."""
        self.damaged_lines += line.is_damaged
        if line.kind == "spool":
            self.producer, self.header_end = line.text, end
        elif line.kind == "session":
            self.sessions.add(line.text)

        if line.kind == "copy" and not line.is_damaged_in_form:
            self.copy, self.lost_copy = line.batches, sum(line.lost.values())
        elif line.kind == "batches" or line.batches or line.lost:
            # Without its head a copy looks like batches. It can be read as such: its numbers
            # follow those of all batches.
            self._add_batches(line, Extent(line.last_number, start, end))
        self._remove_settled(line.settled)

    def _add_batches(self, line: "_Line", extent: Extent) -> None:
        self.copy, self.lost_copy = [], 0
        self.lost |= line.lost
        for batch in line.batches:
            self.batches[batch.number] = batch
            self.lost.pop(batch.number, None)
        self.extents.append(extent)

    def _remove_settled(self, settled: int) -> None:
        self.settled = max(self.settled, settled)

        for known in (self.batches, self.lost):
            for number in [number for number in known if number <= self.settled]:
                del known[number]
        self.copy = [batch for batch in self.copy if not 0 < batch.number <= self.settled]
        self.extents = [extent for extent in self.extents if extent.number > self.settled]


def read(data: bytes) -> Contents:
    """Return what a file contains, as far as it can be read.

    Raises:
        ValueError: It is not a spool, or one of an earlier version.

    """
    contents, start, sound_lines = Contents(), 0, 0
    for text in _lines(data):
        line = _Line(text)
        contents.add(line, start, start + len(text))
        sound_lines += not line.is_damaged
        start += len(text)

    if data and not sound_lines:
        _require_spool(data)
    return contents


def _lines(data: bytes) -> list[bytes]:
    # Not splitlines(): damage can turn any byte into a carriage return.
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + [rest] * bool(rest)


def _require_spool(data: bytes) -> None:
    """Raise ValueError for a file without a sound line, unless it looks like a damaged spool."""
    if data.startswith(_EARLIER_FORM) and _EARLIER_APPLICATION in data[68:72]:
        raise ValueError(
            "an earlier version of logcommon made it: open it once more with that version, so that "
            "its entries reach Redis, and delete it then; or move it away"
        )

    start = data[: len(MAGIC)]
    if start != MAGIC[: len(start)] and data.strip(b"\0"):
        raise ValueError("it is not a spool; move it away, or give another path")


class _Line:
    """A record as it was read, be it damaged or not."""

    def __init__(self, text: bytes) -> None:
        self.kind: Kind | None = None
        self.settled: int = 0
        self.text: str = ""
        expected: list[tuple[int, int]] = []

        is_first, *rest = text.rstrip(b"\n").split(b"\t")
        parts = rest if is_first == MAGIC else [is_first, *rest]
        values = [_decode_part(part) for part in parts]
        heads = [each for each in values if each is not None and len(each) == _HEAD_LENGTH]
        self.batches: list[Batch] = [
            _batch(*each) for each in values if each and len(each) in _LENGTHS
        ]
        if heads:
            self.kind, self.settled, expected, self.text = heads[0]

        read = {batch.number for batch in self.batches}
        self.lost: dict[int, int] = {
            number: calls for number, calls in expected if number not in read
        }
        self.last_number: int = max([*read, *self.lost], default=0)
        self.is_damaged_in_form: bool = (
            len(heads) != 1
            or len(values) != 1 + len(expected)
            or values[0] is not heads[0]
            or (is_first == MAGIC) != (self.kind == "spool")
            or not text.endswith(b"\n")
        )
        self.is_damaged: bool = self.is_damaged_in_form or bool(self.lost) or None in values


def _encode_part(values: Sequence[object]) -> bytes:
    text = json.dumps(values).encode()
    return _checksum(text) + text


def _decode_part(part: bytes) -> list[Any] | None:
    """Return the values in a part, None if it is damaged."""
    text = part[_CHECKSUM_DIGITS:]
    if not text or part[:_CHECKSUM_DIGITS] != _checksum(text):
        return None

    values: list[Any] = json.loads(text)
    return values


def _checksum(text: bytes) -> bytes:
    return b"%0*x" % (_CHECKSUM_DIGITS, zlib.crc32(text))


def _values(batch: Batch) -> list[object]:
    counts = [[*group[0], group[1], messages] for group, messages in batch.counts.items()]
    recent = [[*destination, entries] for destination, entries in batch.recent.items()]
    examples = [[*group[0], group[1], found] for group, found in batch.examples.items()]
    # As lists: the keys of a JSON object are text.
    minutes = [[*group[0], group[1], [*calls.items()]] for group, calls in batch.minutes.items()]
    return [batch.number, batch.producer, batch.edition, counts, recent, examples, minutes]


def _batch(
    number: int,
    producer: str,
    edition: int,
    counts: list[Any],
    recent: list[Any],
    examples: Sequence[Any] = (),
    minutes: Sequence[Any] = (),
) -> Batch:
    return Batch(
        counts={(Destination(name, level), hour): found for name, level, hour, found in counts},
        recent={
            Destination(name, level): [(message, seconds) for message, seconds in entries]
            for name, level, entries in recent
        },
        examples={(Destination(name, level), hour): found for name, level, hour, found in examples},
        minutes={
            (Destination(name, level), hour): dict(calls) for name, level, hour, calls in minutes
        },
        number=number,
        producer=producer,
        edition=edition,
    )
