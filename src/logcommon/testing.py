"""Helpers for the tests of applications that use logcommon.

```python
import logcommon
from logcommon.testing import capture


def sell() -> None:  # what is tested
    with logcommon.background("redis://localhost:6379/0") as log:
        log.log_common_nowait("shop", "order taken")


with capture() as captured:
    sell()

assert captured.counts == {("shop", "info", "order taken"): 1}
```

With pytest, the fixture `logcommon_capture` does the same for a test.
"""

import contextlib
import heapq
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from logcommon.alerts import Claims, name_of_claim
from logcommon.client import CommonLog, connect
from logcommon.marks import Marks
from logcommon.messages.words import has_placeholder
from logcommon.model import (
    RECENT_LENGTH,
    Change,
    CommonRow,
    Comparison,
    Destination,
    Hour,
    Mark,
    Minute,
    Mute,
    RecentRow,
    Series,
    Severity,
    encode_message,
    hour_of,
    hour_start,
)
from logcommon.mutes import Mutes
from logcommon.read.compare import Windows, best_of, change_of, comparison_of, rank
from logcommon.read.exposure import beginnings, exposed, lengths_of
from logcommon.read.muting import Muting, is_over
from logcommon.read.newer import Snapshot
from logcommon.read.overview import (
    by_moment,
    history_of,
    matching,
    merge_common,
    merge_recent,
    merge_rows,
    named_destinations,
)
from logcommon.read.reader import Reader, require_count
from logcommon.read.windows import hour_containing
from logcommon.settings import Settings
from logcommon.write.batch import BATCH_SIZE, Batch, Entry, Minutes, merge
from logcommon.write.buffer import Buffer

__all__ = ["Captured", "capture", "fake_client"]


@contextlib.contextmanager
def capture() -> Iterator["Captured"]:
    """Keep what is logged in memory instead of writing it to Redis.

    Everything that the clients of this process log inside the block is captured, and they read
    what was captured. It does not matter if a client was made by `connect`, `background` or an
    integration, if it was made before the block, or if it is open. Nothing is sent to Redis, so no
    server has to run; awaited calls and `flush` return at once.

    Messages are redacted and cut, limits apply and bad arguments raise as in production. Calls to
    a client that was closed are dropped. The `stats` of a client don't include what is captured.
    Captures can be nested; the innermost one counts.
    """
    captured = Captured()
    with _LOCK:
        if not _CAPTURES:
            _patch()
        _CAPTURES.append(captured)
    try:
        yield captured
    finally:
        with _LOCK:
            _CAPTURES.remove(captured)
            if not _CAPTURES:
                _restore()


def fake_client(**settings: Any) -> CommonLog:
    """Return a client on a new, empty Redis, imitated by fakeredis.

    Use it if a test looks into Redis. For what the application logged, `capture` is enough.

    Args:
        settings: Keyword arguments of `connect`.

    Raises:
        ImportError: fakeredis is not installed.
        InvalidArgumentError: A setting can't be used.

    """
    try:
        from fakeredis import FakeAsyncRedis, FakeServer
    except ModuleNotFoundError as missing:
        if missing.name != "fakeredis":
            raise
        raise ImportError(
            "fakeredis is not installed: pip install fakeredis", name="fakeredis"
        ) from missing
    return connect(FakeAsyncRedis(server=FakeServer()), **settings)


class Captured:
    """What was logged inside `capture`, by any thread and in any event loop of this process.

    It includes a call as soon as the call has returned, and can still be read after the block.
    """

    def __init__(self) -> None:
        self._buffers: dict[Buffer, Buffer] = {}
        self._claimed: set[tuple[Hour, str]] = set()
        self.marks: list[Mark] = []
        """What was marked, the newest first."""
        self.mutes: dict[str, Mute] = {}
        """What was muted, by message."""
        self.log: CommonLog = connect()
        """A client for code that takes one, as in `CommonLogHandler(captured.log)`. For a client
        with settings, pass what `connect` returns instead."""

    def __repr__(self) -> str:
        return f"<logcommon.testing.Captured {dict(self.counts)}>"

    @property
    def counts(self) -> Counter[tuple[str, str, str]]:
        """How often each message was logged, by (service, severity, message), in all hours.

        One line checks one message, and a plain dictionary checks all of them:

            assert captured.counts["shop", "error", "payment declined"] == 1
            assert captured.counts == {("shop", "error", "payment declined"): 1}

        A message that was not logged has the count 0.
        """
        counts: Counter[tuple[str, str, str]] = Counter()
        for destination, messages in self.counts_by_hour().items():
            for message, count in messages.items():
                counts[(*destination[0], message)] += count
        return counts

    @property
    def recent(self) -> dict[tuple[str, str], list[str]]:
        """The newest messages by (service, severity), newest first; 100 of each at most."""
        return {
            (name, severity): [message for message, _ in entries]
            for (name, severity), entries in self.newest_entries().items()
        }

    def clear(self) -> None:
        """Forget what was logged, marked and muted so far."""
        self._buffers.clear()
        self._claimed.clear()
        self.marks.clear()
        self.mutes.clear()

    def claim(self, hour: Hour, changes: Sequence[Change]) -> list[Change]:
        """Return the changes that were not claimed in this hour; then they are."""
        new = [each for each in changes if (hour, name_of_claim(each)) not in self._claimed]
        self._claimed |= {(hour, name_of_claim(each)) for each in new}
        return new

    def counts_by_hour(self) -> dict[tuple[Destination, int], Counter[str]]:
        """Return the counts by destination and hour, with messages as Redis would store them."""
        counts: dict[tuple[Destination, int], Counter[str]] = {}
        for batch in self._batches():
            for group, messages in batch.counts.items():
                stored = {_as_stored(message): count for message, count in messages.items()}
                counts.setdefault(group, Counter()).update(stored)
        return counts

    def minutes_by_hour(self) -> Minutes:
        """Return the calls of each minute by destination and hour."""
        return merge([Batch(), *self._batches()]).minutes

    def newest_entries(self) -> dict[Destination, list[Entry]]:
        """Return the (message, seconds since the epoch) of recent logs, newest first."""
        recents: dict[Destination, list[list[Entry]]] = {}
        for batch in self._batches():
            for destination, recent in batch.recent.items():
                stored = [(_as_stored(message), seconds) for message, seconds in recent]
                recents.setdefault(destination, []).append(stored)
        return {
            destination: list(heapq.merge(*found, key=itemgetter(1)))[: -RECENT_LENGTH - 1 : -1]
            for destination, found in recents.items()
        }

    def buffer_for(self, buffer: Buffer) -> Buffer:
        """Return the buffer that accepts entries in place of a client's, with the same settings."""
        found = self._buffers.get(buffer)
        if found is None:
            found = self._buffers.setdefault(buffer, Buffer(buffer.settings))  # atomic
        return found

    def _batches(self) -> list[Batch]:
        return [batch for each in list(self._buffers.values()) for batch in each.copy(BATCH_SIZE)]


def _as_stored(message: str) -> str:
    return encode_message(message).decode()


class _CapturedReader:
    """Reads what was captured, as `Reader` reads Redis."""

    def __init__(self, captured: Captured, settings: Settings) -> None:
        self._captured = captured
        self._settings = settings

    def top(
        self,
        name: str | None,
        severity: Severity | None,
        n: int,
        hour: datetime | None,
        *,
        merge: bool | None = False,
    ) -> list[CommonRow]:
        require_count(n)
        wanted = hour_of(self._settings.clock()) if hour is None else hour_containing(hour)

        counts = self._captured.counts_by_hour()
        selected = self._select(name, severity)
        rows = [
            CommonRow(count, message, destination)
            for (destination, hour), messages in counts.items()
            for message, count in messages.items()
            if hour == wanted and destination in selected
        ]
        rows.sort(key=_redis_order, reverse=True)
        if merge is None:
            merge = any(has_placeholder(row.message) for row in rows)
        by_destination = [[row for row in rows if row.destination == each] for each in selected]
        found = merge_common(map(merge_rows, by_destination) if merge else [rows], n)
        return self._muting().mark_rows(found, wanted)

    def recent(self, name: str | None, severity: Severity | None, n: int) -> list[RecentRow]:
        require_count(n)
        selected = self._select(name, severity)
        rows = [
            [
                RecentRow(datetime.fromtimestamp(int(at), UTC), message, each)
                for message, at in found
            ]
            for each, found in sorted(self._captured.newest_entries().items())
            if each in selected
        ]
        return merge_recent(rows, n)

    def snapshots(self, name: str | None, severity: Severity | None) -> dict[Destination, Snapshot]:
        minutes: dict[Destination, dict[Minute, int]] = {}
        for (destination, _), calls in self._captured.minutes_by_hour().items():
            minutes.setdefault(destination, {}).update(calls)
        return {
            each: Snapshot(self.recent(*each, RECENT_LENGTH), minutes.get(each, {}))
            for each in sorted(self._select(name, severity))
        }

    def hours(self, name: str | None, severity: Severity | None) -> list[datetime]:
        selected = self._select(name, severity)
        hours = {hour for each, hour in self._captured.counts_by_hour() if each in selected}
        return [hour_start(hour) for hour in sorted(hours, reverse=True)]

    def minutes(
        self, name: str | None, severity: Severity | None, hours: int
    ) -> dict[Destination, dict[datetime, int]]:
        require_count(hours, "hours")
        newest = hour_of(self._settings.clock())
        selected = self._select(name, severity)
        found: dict[Destination, dict[Minute, int]] = {}
        for (destination, hour), minutes in self._captured.minutes_by_hour().items():
            if newest - hours < hour <= newest and destination in selected:
                found.setdefault(destination, {}).update(minutes)
        return {each: by_moment(minutes) for each, minutes in sorted(found.items())}

    def minutes_of(
        self, wanted: Mapping[Destination, Sequence[Hour]]
    ) -> dict[Destination, dict[Minute, int]]:
        captured = self._captured.minutes_by_hour()
        found: dict[Destination, dict[Minute, int]] = {each: {} for each in wanted}
        for destination, hours in wanted.items():
            for hour in hours:
                found[destination].update(captured.get((destination, hour), {}))
        return found

    def held_hours(self, names: Collection[str]) -> dict[Destination, set[Hour]]:
        hourly = self._hourly(None, None)
        return {each: set(hours) for each, hours in hourly.items() if each.name in names}

    def hours_by_destination(self) -> dict[Destination, list[datetime]]:
        return {each: self.hours(*each) for each in self.destinations()}

    def compare(
        self,
        name: str | None,
        severity: Severity | None,
        n: int,
        windows: Callable[[Collection[Hour], float], Windows],
        *,
        merge: bool | None,
    ) -> Comparison:
        require_count(n)
        hourly = self._hourly(name, None)
        now = self._settings.clock()
        chosen = windows(set().union(*hourly.values()), now)
        lengths = lengths_of(
            self.minutes_of(beginnings(hourly, {*chosen.after, *chosen.before})), now
        )
        by_destination = {
            each: exposed(chosen, lengths.get(each.name, {}), now)
            for each in matching(hourly, name, severity)
        }
        rankings = {
            each: rank(hourly[each], by_destination[each], merge=merge) for each in by_destination
        }

        changes = []
        for destination, found in best_of(rankings, n):
            members = rankings[destination].members(found.message)
            counts = hourly[destination]
            seen = [hour for hour in counts if any(map(counts[hour].get, members))]
            changes.append(change_of(found, destination, by_destination[destination], seen))
        marked = self._muting().mark_changes(changes)
        return comparison_of(marked, chosen, rankings.values())

    def series(self, message: str, name: str | None, severity: Severity | None) -> Series:
        counts: Counter[Hour] = Counter()
        for hourly in self.counts_of(message, name, severity).values():
            counts.update(hourly)
        return Series(message, {hour_start(hour): counts[hour] for hour in sorted(counts)})

    def counts_of(
        self, message: str, name: str | None = None, severity: Severity | None = None
    ) -> dict[Destination, dict[Hour, int]]:
        return {
            destination: {hour: messages[message] for hour, messages in hourly.items()}
            for destination, hourly in self._hourly(name, severity).items()
        }

    def mutes(self) -> list[Mute]:
        now = self._settings.clock()
        return [mute for mute in self._captured.mutes.values() if not is_over(mute, now)]

    def _muting(self) -> Muting:
        return Muting(self.mutes(), self._settings.clock())

    def histories(self, rows: Sequence[CommonRow]) -> list[Series]:
        hourly = self._hourly(None, None)
        return [history_of(row, hourly.get(row.destination, {})) for row in rows]

    def _hourly(
        self, name: str | None, severity: Severity | None
    ) -> dict[Destination, dict[Hour, Counter[str]]]:
        selected = self._select(name, severity)
        hourly: dict[Destination, dict[Hour, Counter[str]]] = {}
        for (destination, hour), messages in self._captured.counts_by_hour().items():
            if destination in selected:
                hourly.setdefault(destination, {})[hour] = messages
        return hourly

    def destinations(self) -> list[Destination]:
        counted = {destination for destination, _ in self._captured.counts_by_hour()}
        return sorted(counted | self._captured.newest_entries().keys())

    def _select(self, name: str | None, severity: Severity | None) -> set[Destination]:
        named = named_destinations(name, severity)
        return named | matching(self.destinations(), name, severity)


def _redis_order(row: CommonRow) -> tuple[int, bytes]:
    return row.count, row.message.encode()


# Clients are made and opened in many ways, and used from many threads and event loops. All of them
# accept entries through a Buffer and read through a Reader. So a capture replaces the methods of
# these two classes.

_CAPTURES: list[Captured] = []
"""The innermost last."""

_LOCK = threading.Lock()
_ACCEPTING = ("put", "put_recent")
_READING = (
    "top",
    "recent",
    "snapshots",
    "hours",
    "minutes",
    "minutes_of",
    "held_hours",
    "hours_by_destination",
    "destinations",
    "compare",
    "series",
    "histories",
    "counts_of",
    "mutes",
)
_MARKING = ("add", "newest")
_ORIGINALS: dict[tuple[type, str], Callable[..., Any]] = {}


def _patch() -> None:
    for patched, names, replacement in (
        (Buffer, _ACCEPTING, _accepting),
        (Reader, _READING, _reading),
        (Marks, _MARKING, _marking),
        (Claims, ("take",), _claiming),
        (Mutes, ("put", "remove"), _muting),
    ):
        for name in names:
            original = _ORIGINALS[patched, name] = vars(patched)[name]
            setattr(patched, name, replacement(original, name))


def _restore() -> None:
    for (patched, name), original in _ORIGINALS.items():
        setattr(patched, name, original)


def _accepting(original: Callable[..., Any], _: str) -> Callable[..., Any]:
    def accept(buffer: Buffer, *arguments: Any, **options: Any) -> Any:
        captures = _CAPTURES[-1:]  # none, if the last one ends in another thread
        if captures and not buffer.is_closed:
            buffer = captures[0].buffer_for(buffer)
        return original(buffer, *arguments, **options)

    return accept


def _reading(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    async def read(reader: Reader, *arguments: Any, **options: Any) -> Any:
        captures = _CAPTURES[-1:]
        if not captures:
            return await original(reader, *arguments, **options)
        captured = _CapturedReader(captures[0], reader.settings)
        return getattr(captured, name)(*arguments, **options)

    return read


def _marking(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    async def note(marks: Marks, *arguments: Any) -> Any:
        captures = _CAPTURES[-1:]
        if not captures:
            return await original(marks, *arguments)
        if name == "newest":
            return captures[0].marks
        captures[0].marks.insert(0, marks.make(*arguments))
        return captures[0].marks[0]

    return note


def _claiming(original: Callable[..., Any], _: str) -> Callable[..., Any]:
    async def take(claims: Claims, hour: Hour, changes: Sequence[Change]) -> list[Change]:
        captures = _CAPTURES[-1:]
        if not captures:
            return list(await original(claims, hour, changes))
        return captures[0].claim(hour, changes)

    return take


def _muting(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    async def mute(mutes: Mutes, what: Any) -> Any:
        captures = _CAPTURES[-1:]
        if not captures:
            return await original(mutes, what)
        if name == "remove":
            return captures[0].mutes.pop(what, None) is not None
        captures[0].mutes[what.message] = what
        return None

    return mute
