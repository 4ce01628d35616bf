"""Queries about one destination, and how their replies become rows. No I/O.

Other programs may write to the same keys in ways of their own, so nothing here trusts a reply.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

from logcommon.exceptions import ServerRefusedError
from logcommon.model import (
    FIRST_HOUR,
    RECENT_LENGTH,
    CommonRow,
    Counted,
    Destination,
    Hour,
    Mark,
    Minute,
    Mute,
    RecentRow,
    encode_message,
    hour_of_minute,
    hour_start,
    parse_recent,
)
from logcommon.read.newer import Snapshot
from logcommon.schema.commands import Command, Reply
from logcommon.schema.keys import (
    MARKS,
    MUTES,
    REGISTRY,
    DestinationKeys,
    destination_keys,
    examples_key,
    minutes_key,
    parse_registered,
    with_hashes,
)
from logcommon.schema.rotation import HourState

_LARGEST_COUNT = 2**53
"""Above this, adding 1 to a score no longer changes it."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Query(Generic[_T]):
    """The commands of one transaction, and the function that parses their replies.

    `parse` raises ServerRefusedError if a key holds something else than ours do.
    """

    commands: tuple[Command, ...]
    parse: Callable[[Sequence[Reply]], _T]


@dataclass(frozen=True, slots=True)
class HeldHours:
    """The hours of a destination that have counts, and the state in which they were found."""

    state: HourState
    hours: list[datetime]
    """Newest first."""


def registry_query() -> Query[list[Destination]]:
    """Return the query for every registered destination, in order."""

    def parse(replies: Sequence[Reply]) -> list[Destination]:
        (members,) = replies
        return sorted(filter(None, map(parse_registered, members)))

    return Query(((b"SMEMBERS", REGISTRY),), parse)


def top_query(destination: Destination, n: int, hour: Hour) -> Query[list[CommonRow]]:
    """Return the query for the `n` most common messages of an hour, most common first."""
    counts = counts_query(destination, n, [hour])

    def parse(replies: Sequence[Reply]) -> list[CommonRow]:
        (messages,) = counts.parse(replies).values()
        return [CommonRow(count, message, destination) for message, count in messages]

    return Query(counts.commands, parse)


def counts_query(
    destination: Destination, n: int, hours: Sequence[Hour]
) -> Query[dict[Hour, list[tuple[str, int]]]]:
    """Return the query for the `n` most common messages of each hour, most common first."""
    keys = destination_keys(destination)

    def parse(replies: Sequence[Reply]) -> dict[Hour, list[tuple[str, int]]]:
        sets = _sets_of_hours(keys, hours, replies)
        return {
            hour: [(_text(member), _parse_count(score)) for member, score in _pairs(members)]
            for hour, members in sets.items()
        }

    ranges = ((b"ZREVRANGE", key, 0, n - 1, b"WITHSCORES") for key in _keys_of_hours(keys, hours))
    return Query((*_state_commands(keys), *ranges), parse)


class HourContent(NamedTuple):
    """All that Redis has of an hour of a destination."""

    counts: dict[str, int]
    examples: dict[str, str]
    minutes: dict[Minute, int]


def content_query(destination: Destination, hour: Hour) -> Query[HourContent]:
    """Return the query for everything in an hour, however large it is."""
    keys = destination_keys(destination)
    sets = _keys_of_hours(keys, [hour])
    commands = (
        (b"ZREVRANGE", 0, -1, b"WITHSCORES"),
        (b"HGETALL",),
        (b"HGETALL",),
    )

    def parse(replies: Sequence[Reply]) -> HourContent:
        state, found = replies[:2], replies[2:]
        by_kind = [found[kind :: len(commands)] for kind in range(len(commands))]
        members, examples, minutes = (
            _sets_of_hours(keys, [hour], (*state, *each))[hour] for each in by_kind
        )
        counts = {_text(member): _parse_count(score) for member, score in _pairs(members)}
        return HourContent(
            counts,
            {_text(template): _text(example) for template, example in _fields(examples)},
            _parse_minutes(minutes),
        )

    reads = [
        (name, key, *rest)
        for each in sets
        for (name, *rest), key in zip(commands, with_hashes(each), strict=True)
    ]
    return Query((*_state_commands(keys), *reads), parse)


def exists_query(key: bytes) -> Query[bool]:
    """Return the query for whether a key exists."""
    return Query(((b"EXISTS", key),), lambda replies: bool(replies[0]))


def scores_query(
    destination: Destination, messages: Sequence[str], hours: Sequence[Hour]
) -> Query[dict[Hour, dict[str, int]]]:
    """Return the query for the counts of some messages in each hour, 0 if they have none."""
    keys = destination_keys(destination)
    members = [encode_message(message) for message in messages]

    def parse(replies: Sequence[Reply]) -> dict[Hour, dict[str, int]]:
        sets = _sets_of_hours(keys, hours, replies)
        return {
            hour: {
                message: 0 if score is None else _parse_count(float(score))
                for message, score in zip(messages, scores, strict=True)
            }
            for hour, scores in sets.items()
        }

    scores = ((b"ZMSCORE", key, *members) for key in _keys_of_hours(keys, hours))
    return Query((*_state_commands(keys), *scores), parse)


def examples_query(
    destination: Destination, templates: Sequence[str], hour: Hour
) -> Query[dict[str, str]]:
    """Return the query for the examples of templates, from their hour if it has them.

    The hour may have turned since the templates were read, so all hashes are asked: an example is
    right in any hour.
    """
    keys = destination_keys(destination)
    members = [encode_message(template) for template in templates]
    hashes = map(examples_key, _keys_of_hours(keys, [hour]))

    def parse(replies: Sequence[Reply]) -> dict[str, str]:
        best = _sets_of_hours(keys, [hour], replies)[hour]
        return {
            template: _text(text)
            for texts in (*replies[2:], best)
            for template, text in zip(templates, texts, strict=True)
            if text is not None
        }

    return Query((*_state_commands(keys), *((b"HMGET", key, *members) for key in hashes)), parse)


def minutes_query(destination: Destination, hours: Sequence[Hour]) -> Query[dict[Minute, int]]:
    """Return the query for the calls of each minute of some hours."""
    keys = destination_keys(destination)

    def parse(replies: Sequence[Reply]) -> dict[Minute, int]:
        # Programs that know nothing of minutes may have turned the hour: all are read as one.
        calls: Counter[Minute] = Counter()
        for reply in replies:
            calls.update(_parse_minutes(reply))
        wanted = set(hours)
        return {minute: calls[minute] for minute in calls if hour_of_minute(minute) in wanted}

    hashes = map(minutes_key, _keys_of_hours(keys, hours))
    return Query(tuple((b"HGETALL", key) for key in hashes), parse)


def recent_query(destination: Destination, n: int) -> Query[list[RecentRow]]:
    """Return the query for the `n` newest entries, newest first."""
    keys = destination_keys(destination)

    def parse(replies: Sequence[Reply]) -> list[RecentRow]:
        (entries,) = replies
        return [RecentRow(*parse_recent(_text(entry)), destination) for entry in entries]

    return Query(((b"LRANGE", keys.recent, 0, n - 1),), parse)


def snapshot_query(destination: Destination) -> Query[Snapshot]:
    """Return the query for all entries, and for the calls of each minute of the last two hours."""
    keys = destination_keys(destination)
    recent = recent_query(destination, RECENT_LENGTH)

    def parse(replies: Sequence[Reply]) -> Snapshot:
        entries, current, last = replies
        return Snapshot(recent.parse([entries]), _parse_minutes(last) | _parse_minutes(current))

    hashes = map(minutes_key, (keys.current, keys.last))
    return Query((*recent.commands, *((b"HGETALL", key) for key in hashes)), parse)


def marks_query() -> Query[list[Mark]]:
    """Return the query for all marks, newest first."""

    def parse(replies: Sequence[Reply]) -> list[Mark]:
        (entries,) = replies
        return list(filter(None, map(_parse_mark, map(_text, entries))))

    return Query(((b"LRANGE", MARKS, 0, -1),), parse)


def _parse_mark(entry: str) -> Mark | None:
    time, _, text = entry.partition(" ")
    try:
        return Mark(datetime.fromisoformat(time).astimezone(UTC), text)
    except (ValueError, OverflowError):
        return None


def mutes_query() -> Query[list[Mute]]:
    """Return the query for all mutes, also those that are over."""

    def parse(replies: Sequence[Reply]) -> list[Mute]:
        (found,) = replies
        mutes = (_parse_mute(_text(message), entry) for message, entry in _fields(found))
        return sorted(filter(None, mutes), key=lambda each: each.since)

    return Query(((b"HGETALL", MUTES),), parse)


def _parse_mute(message: str, entry: bytes) -> Mute | None:
    try:
        fields = json.loads(entry)
        since, until = fields["since"], fields["until"]
        return Mute(
            message,
            datetime.fromtimestamp(since, UTC),
            None if until is None else datetime.fromtimestamp(until, UTC),
            fields["until_rises"],
            {
                Destination(name, severity): Counted(calls, hours)
                for name, severity, calls, hours in fields["before"]
            },
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def hours_query(
    destination: Destination, assumed: HourState, history_hours: int
) -> Query[HeldHours]:
    """Return the query for the hours that have counts.

    The keys of hours older than `:last` depend on the state. If the state in the answer is not the
    one `assumed`, some of them may be missing: query again with that state.
    """
    keys = destination_keys(destination)
    older = _older_hours(assumed, history_hours)
    sets = (keys.current, keys.last, *map(keys.hour, older))

    def parse(replies: Sequence[Reply]) -> HeldHours:
        values, found, *exist = replies
        state = _parse_state(keys, values, found)
        hours = (state.start, state.previous, *older)
        held = {
            hour for hour, exists in zip(hours, exist, strict=True) if exists and hour is not None
        }
        return HeldHours(state, [hour_start(hour) for hour in sorted(held, reverse=True)])

    return Query((*_state_commands(keys), *((b"EXISTS", key) for key in sets)), parse)


def _older_hours(state: HourState, history_hours: int) -> Sequence[Hour]:
    if state.previous is None:
        return ()
    oldest = max(state.previous - history_hours, FIRST_HOUR)
    return range(state.previous - 1, oldest - 1, -1)


def _keys_of_hours(keys: DestinationKeys, hours: Iterable[Hour]) -> tuple[bytes, ...]:
    return (keys.current, keys.last, *map(keys.hour, hours))


def _sets_of_hours(
    keys: DestinationKeys, hours: Sequence[Hour], replies: Sequence[Reply]
) -> dict[Hour, Reply]:
    """Return the reply about each hour, to commands about each of `_keys_of_hours`."""
    values, found, current, last, *archived = replies
    # Only `:start` and `:pstart` say which hours the first two sets hold.
    state = _parse_state(keys, values, found)
    sets = dict(zip(hours, archived, strict=True))
    return {
        hour: current if hour == state.start else last if hour == state.previous else reply
        for hour, reply in sets.items()
    }


def _state_commands(keys: DestinationKeys) -> tuple[Command, Command]:
    # MGET returns nil for a key of the wrong type; EXISTS distinguishes it from a missing one.
    both = (keys.start, keys.previous_start)
    return (b"MGET", *both), (b"EXISTS", *both)


def _parse_state(keys: DestinationKeys, values: Sequence[bytes | None], found: int) -> HourState:
    if found > sum(value is not None for value in values):
        names = " or ".join(_text(key) for key in (keys.start, keys.previous_start))
        raise ServerRefusedError(f"{names} is not a string, so it can't be read: delete it")
    return HourState.read(*values)


def _parse_count(score: float) -> int:
    """Return a score as a count; an infinite one as the largest that Redis counts exactly."""
    return int(score) if math.isfinite(score) else int(math.copysign(_LARGEST_COUNT, score))


def _parse_minutes(found: Reply) -> dict[Minute, int]:
    minutes = {}
    for minute, calls in _fields(found):
        with suppress(ValueError):
            minutes[int(minute)] = int(calls)
    return minutes


def _fields(found: Reply) -> Iterable[tuple[bytes, bytes]]:
    """Return the fields of a hash, which RESP3 sends as a map and RESP2 as one flat list."""
    return found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)


def _pairs(members: Reply) -> Iterable[tuple[bytes, Reply]]:
    """Return (member, score), which RESP3 sends as pairs and RESP2 as one flat list."""
    if members and isinstance(members[0], bytes):
        return zip(members[::2], map(float, members[1::2]), strict=True)
    return [(member, score) for member, score in members]


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")
