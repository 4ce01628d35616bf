"""What leaves the buffer, and what one commit carries. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from logcommon.model import Destination, Group

Entry: TypeAlias = tuple[str, float]
"""A message, and when it was logged in seconds since the epoch."""

Counts: TypeAlias = dict[Group, dict[str, int]]
"""How often each message of each destination and hour was logged."""

Recent: TypeAlias = dict[Destination, list[Entry]]
"""The newest entries of each destination, oldest first."""


@dataclass(slots=True)
class Batch:
    """What one commit carries."""

    counts: Counts = field(default_factory=dict)
    recent: Recent = field(default_factory=dict)
    number: int = 0
    """Given once it is out of the buffer, counting up."""
    producer: str = field(default="", compare=False)
    """Whose marker in Redis tells whether it was executed."""
    edition: int = field(default=0, compare=False)
    """Counts up for each producer, with each drain and each copy of its buffer."""
    attempts: int = field(default=0, compare=False)
    """How often this process has sent it."""

    @property
    def destinations(self) -> set[Destination]:
        """The destinations that have something in this batch."""
        return {destination for destination, _ in self.counts} | self.recent.keys()

    @property
    def calls(self) -> int:
        """How many counted calls this batch stands for."""
        return sum(sum(messages.values()) for messages in self.counts.values())


def split(counts: Counts, recent: Recent, batch_size: int) -> Iterator[Batch]:
    """Yield batches of at most `batch_size` distinct messages.

    The oldest hours come first, so that a rotation finds them counted.
    """
    batch, room = Batch(recent=recent), batch_size
    for group, messages in sorted(counts.items(), key=lambda item: item[0][1]):
        items = list(messages.items())
        while items:
            batch.counts[group] = dict(items[:room])
            taken = len(batch.counts[group])
            items, room = items[taken:], room - taken
            if not room:
                yield batch
                batch, room = Batch(), batch_size
    if batch.counts or batch.recent:
        yield batch
