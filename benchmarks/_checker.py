"""Whether Redis counts what was logged: the models' sum, the keys' content, and the difference."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, cast

from redis import Redis

Group: TypeAlias = tuple[str, str, int]
"""A name, a severity and an hour, counted from the epoch."""
Counts: TypeAlias = dict[Group, Counter[str]]

AHEAD = ("stock", "warning")
"""A destination to which clocks that are ahead log: its hours are not looked at."""
SPOOLED = ("orders", "info")
"""One whose entries come from a spool, and from copies of it; likewise."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A message whose count in Redis is not that of the models."""

    group: Group
    message: str
    expected: int
    found: int

    @property
    def over(self) -> int:
        """How many calls are counted too often."""
        return max(0, self.found - self.expected)

    @property
    def under(self) -> int:
        """How many calls are not counted."""
        return max(0, self.expected - self.found)


def read_models(paths: Iterable[Path]) -> Counts:
    """Return the sum of the models."""
    counts: Counts = {}
    for path in paths:
        with path.open() as file:
            for name, severity, hour, messages in map(json.loads, file):
                counts.setdefault((name, severity, hour), Counter()).update(messages)
    return counts


def read_redis(admin: Redis) -> Counts:
    """Return what Redis counts, read from the keys and not through our own reader."""
    counts: Counts = {}
    for key in cast("list[bytes]", admin.keys("common:*")):
        _, name, severity, *rest = key.decode().split(":", 3)
        suffix = rest[0] if rest else ""
        if suffix in ("start", "pstart") or suffix.endswith(("minutes", "examples")):
            continue

        holder = {"": "start", "last": "pstart"}.get(suffix)
        text = suffix if holder is None else _text(admin, f"common:{name}:{severity}:{holder}")
        hour = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() // 3600)
        if (name, severity) in (AHEAD, SPOOLED):
            hour = 0

        # Two sets of one hour add up, as whoever reads both would have it.
        counts.setdefault((name, severity, hour), Counter()).update(_members(admin, key))
    return counts


def _text(admin: Redis, key: str) -> str:
    return cast("bytes", admin.get(key)).decode()


def _members(admin: Redis, key: bytes) -> dict[str, int]:
    rows = cast("list[tuple[bytes, float]]", admin.zrange(key, 0, -1, withscores=True))
    return {member.decode(): int(score) for member, score in rows}


def compare(expected: Counts, found: Counts) -> list[Difference]:
    """Return where two counts differ, in order."""
    nothing: Counter[str] = Counter()
    differences: list[Difference] = []

    for group in sorted(expected.keys() | found.keys()):
        ours, theirs = expected.get(group, nothing), found.get(group, nothing)
        differences.extend(
            Difference(group, message, ours[message], theirs[message])
            for message in sorted(ours.keys() | theirs.keys())
            if ours[message] != theirs[message]
        )
    return differences
