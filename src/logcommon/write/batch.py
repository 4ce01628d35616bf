"""What leaves the buffer, and what one commit carries. No I/O."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from logcommon.model import RECENT_LENGTH, Destination, Group, Minute

Entry: TypeAlias = tuple[str, float]
"""A message, and when it was logged in seconds since the epoch."""

Counts: TypeAlias = dict[Group, dict[str, int]]
"""How often each message of each destination and hour was logged."""

Minutes: TypeAlias = dict[Group, dict[Minute, int]]
"""How many calls of each destination and hour were logged in each of its minutes."""

Examples: TypeAlias = dict[Group, dict[str, str]]
"""For templates of each destination and hour, one of the messages that were counted as it."""

Recent: TypeAlias = dict[Destination, list[Entry]]
"""The newest entries of each destination, oldest first."""

BATCH_SIZE = 1_000
"""Distinct messages in a batch: Redis serves no other client while it executes the transaction."""

_MESSAGE_BYTES, _ENTRY_BYTES, _MINUTE_BYTES = 120, 140, 100
"""What Python takes for a counted message, and for an entry of the recent log, besides the text;
and for the calls of a minute."""

_Message: TypeAlias = tuple[Group, str, int, str | None]
"""A message, its amount, and its example if it has one."""
_Piece: TypeAlias = _Message | tuple[Destination, Entry]

_Counted = TypeVar("_Counted", str, int)


@dataclass(slots=True)
class Batch:
    """What one commit carries."""

    counts: Counts = field(default_factory=dict)
    recent: Recent = field(default_factory=dict)
    number: int = 0
    """Counts up for each producer. The backlog assigns it; 0 until then."""
    producer: str = field(default="", compare=False)
    """The producer whose marker in Redis shows whether this batch was executed."""
    edition: int = field(default=0, compare=False)
    """Counts up for each producer, with each drain and each copy of its buffer."""
    attempts: int = field(default=0, compare=False)
    """How often this process has sent it."""
    examples: Examples = field(default_factory=dict)
    minutes: Minutes = field(default_factory=dict)
    """If a group was split, the first of its batches has all of its minutes."""

    @property
    def destinations(self) -> set[Destination]:
        """The destinations that have something in this batch."""
        return {destination for destination, _ in self.counts} | self.recent.keys()

    @property
    def calls(self) -> int:
        """How many counted calls this batch stands for."""
        return sum(sum(messages.values()) for messages in self.counts.values())

    @property
    def size(self) -> int:
        """About how many bytes of memory this batch takes."""
        counts, recent = self.counts.values(), self.recent.values()

        characters = sum(sum(map(len, messages)) for messages in counts)
        characters += sum(len(message) for entries in recent for message, _ in entries)
        examples = self.examples.values()
        characters += sum(len(text) for each in examples for text in each.values())

        overhead = _MESSAGE_BYTES * (sum(map(len, counts)) + sum(map(len, examples)))
        overhead += _ENTRY_BYTES * sum(map(len, recent))
        overhead += _MINUTE_BYTES * sum(map(len, self.minutes.values()))
        return characters + overhead


def calls_of(batches: Iterable[Batch]) -> int:
    """Return how many counted calls batches stand for."""
    return sum(batch.calls for batch in batches)


def split(whole: Batch, batch_size: int) -> Iterator[Batch]:
    """Yield batches of at most `batch_size` distinct messages that have what `whole` has.

    The oldest hours come first, so that they are counted before a rotation.
    """
    batch, left = Batch(recent=whole.recent), batch_size
    for group, messages in sorted(whole.counts.items(), key=lambda item: item[0][1]):
        items = list(messages.items())
        batch.minutes[group] = whole.minutes[group]

        while items:
            batch.counts[group] = dict(items[:left])
            if known := whole.examples.get(group):
                batch.examples[group] = _chosen(known, batch.counts[group])
            taken = len(batch.counts[group])
            items, left = items[taken:], left - taken
            if not left:
                yield batch
                batch, left = Batch(), batch_size

    if batch.counts or batch.recent:
        yield batch


def _chosen(examples: dict[str, str], messages: Iterable[str]) -> dict[str, str]:
    return {message: examples[message] for message in messages if message in examples}


def take_mergeable(batches: deque[Batch], most: int) -> list[Batch]:
    """Remove batches from the front, and return them.

    At least one is taken, and more while they have at most `most` distinct messages together.
    """
    taken: list[Batch] = []
    seen: set[tuple[Group, str]] = set()
    while batches:
        counts = batches[0].counts.items()
        fresh = {(group, message) for group, messages in counts for message in messages} - seen
        if taken and len(seen) + len(fresh) > most:
            break

        seen |= fresh
        taken.append(batches.popleft())
    return taken


def merge(batches: Sequence[Batch]) -> Batch:
    """Return one batch in place of several, in order, under the number of the last."""
    last = batches[-1]
    merged = Batch(
        number=last.number, producer=last.producer, edition=last.edition, attempts=last.attempts
    )

    for batch in batches:
        for group, messages in batch.counts.items():
            add_amounts(merged.counts.setdefault(group, {}), messages)
        for group, minutes in batch.minutes.items():
            add_amounts(merged.minutes.setdefault(group, {}), minutes)
        for group, examples in batch.examples.items():
            merged.examples.setdefault(group, {}).update(examples)
        for destination, entries in batch.recent.items():
            joined = [*merged.recent.get(destination, ()), *entries]
            merged.recent[destination] = joined[-RECENT_LENGTH:]

    return merged


def add_amounts(total: dict[_Counted, int], amounts: Mapping[_Counted, int]) -> None:
    """Add amounts to a total."""
    for counted, amount in amounts.items():
        total[counted] = total.get(counted, 0) + amount


def separate_failing(batch: Batch, check: Callable[[Batch], object]) -> tuple[Batch, Batch]:
    """Return a batch of the entries that `check` accepts, and one of those for which it raises.

    If it raises for none of them alone, the fault lies elsewhere, and all of them count as failing.
    """
    pieces: list[_Piece] = [
        (group, message, amount, batch.examples.get(group, {}).get(message))
        for group, messages in batch.counts.items()
        for message, amount in messages.items()
    ]
    pieces += [(each, entry) for each, entries in batch.recent.items() for entry in entries]

    good, bad = _bisect(pieces, check)
    if not bad:
        good, bad = [], pieces
    passed, failed = _with_pieces(batch, good), _with_pieces(batch, bad)
    for group, minutes in batch.minutes.items():
        (passed if group in passed.counts else failed).minutes[group] = minutes
    return passed, failed


def _bisect(
    pieces: Sequence[_Piece], check: Callable[[Batch], object]
) -> tuple[list[_Piece], list[_Piece]]:
    """Return the pieces that pass, and the others."""
    try:
        check(_with_pieces(Batch(), pieces))
    except Exception:  # noqa: BLE001  # any error at all is what is being looked for
        if len(pieces) == 1:
            return [], list(pieces)
    else:
        return list(pieces), []

    half = len(pieces) // 2
    first, second = _bisect(pieces[:half], check), _bisect(pieces[half:], check)
    return first[0] + second[0], first[1] + second[1]


def _with_pieces(batch: Batch, pieces: Sequence[_Piece]) -> Batch:
    """Return a copy of `batch` that has these pieces and nothing else."""
    batch = replace(batch, counts={}, recent={}, examples={}, minutes={})
    for piece in pieces:
        if len(piece) == 4:
            group, message, amount, example = piece
            batch.counts.setdefault(group, {})[message] = amount
            if example is not None:
                batch.examples.setdefault(group, {})[message] = example
        else:
            destination, entry = piece
            batch.recent.setdefault(destination, []).append(entry)
    return batch
