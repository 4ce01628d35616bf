"""What was logged and is not yet written, coalesced under a bound. Pure and thread-safe.

A call appends one tuple to a list, which is atomic, and takes no lock. Counting is done a few
hundred entries at a time ("folding"), where the interpreter does it at the speed of C, by whoever
gets the lock without waiting for it. So a signal handler or a finalizer that logs in the middle of
a fold can't lock itself out, and memory stays in proportion to distinct messages.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeAlias

from logcommon.model import (
    OTHER,
    RECENT_LENGTH,
    Destination,
    Group,
    Hour,
    Severity,
    cut_message,
    hour_of,
    require_text,
)
from logcommon.settings import Settings

Entry: TypeAlias = tuple[str, float]
"""A message, and when it was logged in seconds since the epoch."""

OVERFLOW = Destination(OTHER, OTHER)
"""Where calls are counted that would need one destination too many."""

_message_of, _time_of = itemgetter(0), itemgetter(1)
_FOLD_AT = 512
_SPELLINGS = 64
_LONGEST_CHARACTER = 4  # bytes in UTF-8


@dataclass(slots=True)
class Batch:
    """What one commit carries."""

    counts: dict[Group, dict[str, int]] = field(default_factory=dict)
    recent: dict[Destination, list[Entry]] = field(default_factory=dict)
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


class _Tally:
    """The entries of one destination that are not folded yet, and the newest that are."""

    __slots__ = ("common", "destination", "recent", "recent_only")

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.common: list[Entry] = []
        self.recent_only: list[Entry] = []
        self.recent: deque[Entry] = deque(maxlen=RECENT_LENGTH)

    def __bool__(self) -> bool:
        return bool(self.common or self.recent_only or self.recent)


class Buffer:
    """Takes entries from any thread; gives them up in batches.

    Args:
        settings: The bounds and the clock.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._redact = settings.redact
        self._redacting = threading.local()
        self._surely_short = settings.max_message_bytes // _LONGEST_CHARACTER
        self.reset()

    def reset(self) -> None:
        """Forget everything, as in a new process: also who holds the lock."""
        self._wake: Callable[[], None] = _nobody
        self._asleep = False
        self._closed = False
        self._lock = threading.Lock()
        self._tallies: dict[Destination, _Tally] = {}
        # Two lookups by one key each take less time than one by a pair that has to be made.
        self._by_severity_and_name: dict[Severity, dict[str, _Tally]] = {}
        self._counts: dict[Group, Counter[str]] = {}
        self._distinct = 0
        self._calls = self._recent_calls = self._dropped = 0

    def open(self, wake: Callable[[], None]) -> None:
        """Serve a writer.

        `wake` is called, from the thread of a call, when the sleeping writer is wanted, and again
        when the buffer is half full.
        """
        with self._lock:
            self._fold_all()  # what came after a close is dropped, as `numbers` may have said
            self._closed = False
        self._wake = wake

    def put(self, name: str, message: str, severity: Severity = logging.INFO) -> float:
        """Accept an entry to be counted, and return the time that it got.

        Raises:
            InvalidArgumentError: The name, the message or the severity can't be used.

        """
        # This is the call that a service makes a million times: every line here is measured.
        if message.__class__ is not str:
            require_text(message)
        try:
            tally: _Tally | None = self._by_severity_and_name[severity][name]
        except (KeyError, TypeError):
            tally = None
        if tally is None:  # not above: what it raises would be shown under a KeyError
            tally = self._resolve(name, severity)
        if self._redact is not None:
            message = self._redacted(message)
        if len(message) > self._surely_short:
            message = cut_message(message, self._settings.max_message_bytes)
        now = self._clock()
        entries = tally.common
        entries.append((message, now))
        if len(entries) >= _FOLD_AT:
            self._fold_if_free(tally)
        if self._asleep:
            self._wake_up()
        return now

    def put_recent(self, name: str, message: str, severity: Severity) -> None:
        """Accept an entry for the recent log alone; raises as `put` does."""
        require_text(message)
        tally = self._resolve(name, severity)
        message = cut_message(self._redacted(message), self._settings.max_message_bytes)
        tally.recent_only.append((message, self._clock()))
        if len(tally.recent_only) >= _FOLD_AT:
            self._fold_if_free(tally)
        if self._asleep:
            self._wake_up()

    def destination(self, name: str, severity: Severity) -> Destination:
        """Return where a call with these arguments is counted."""
        return self._resolve(name, severity).destination

    def sleep(self) -> bool:
        """Ask to be woken by the next put; return False, and don't, where something is pending."""
        self._asleep = True
        if self._pending():
            self._asleep = False
        return self._asleep

    @property
    def crowded(self) -> bool:
        """Whether half of the room for distinct messages is taken."""
        return self._distinct * 2 >= self._settings.max_pending

    def drain(self, batch_size: int, *, last: bool = False) -> list[Batch]:
        """Give up all that is pending, in batches of at most `batch_size` distinct messages.

        After the `last` time calls are counted as dropped, until this is opened again.
        """
        with self._lock:
            tallies = self._fold_all()
            if last:
                self._closed, self._wake = True, _nobody
            counts, self._counts, self._distinct = self._counts, {}, 0
            recent = {tally.destination: list(tally.recent) for tally in tallies if tally.recent}
            for tally in tallies:
                tally.recent.clear()
        return list(_split(counts, recent, batch_size))

    def copy(self, batch_size: int) -> list[Batch]:
        """Return what `drain` would, and keep it."""
        with self._lock:
            tallies = self._fold_all()
            recent = {tally.destination: list(tally.recent) for tally in tallies if tally.recent}
            return list(_split(self._counts, recent, batch_size))

    def numbers(self) -> tuple[int, int, int]:
        """Return the calls accepted, of these those dropped since the close, and recent calls."""
        with self._lock:
            self._fold_all()
            return self._calls, self._dropped, self._recent_calls

    def _redacted(self, message: str) -> str:
        if self._redact is None:
            return message
        if getattr(self._redacting, "now", False):
            return "<not logged: redact logged it>"  # and would do so for ever
        self._redacting.now = True
        try:
            return str(self._redact(message))
        except Exception as error:  # noqa: BLE001  # a call must not raise for the hook's sake
            return f"<not logged: redact raised {type(error).__name__}>"
        finally:
            self._redacting.now = False

    def _pending(self) -> bool:
        # In this order: entries go from a tally into the counts while the lock is held.
        return any(list(self._tallies.values())) or self._lock.locked() or bool(self._counts)

    def _wake_up(self) -> None:
        self._asleep = False
        self._wake()

    def _resolve(self, name: str, severity: Severity) -> _Tally:
        """Return the tally for a call's arguments, making it where there is room for one more."""
        destination = Destination.of(name, severity)
        tally = self._tallies.get(destination)
        if tally is None:
            if len(self._tallies) >= self._settings.max_destinations:
                destination = OVERFLOW
            tally = self._tallies.setdefault(destination, _Tally(destination))
        # Spellings of a severity are few, but nothing says so: this has a bound as well.
        known = self._by_severity_and_name
        if tally.destination != OVERFLOW and (severity in known or len(known) < _SPELLINGS):
            known.setdefault(severity, {})[name] = tally
        return tally

    def _fold_if_free(self, tally: _Tally) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._fold(tally)
            finally:
                self._lock.release()
            if self.crowded:
                self._wake()

    def _fold_all(self) -> list[_Tally]:
        tallies = list(self._tallies.values())
        for tally in tallies:
            self._fold(tally)
        return tallies

    def _fold(self, tally: _Tally) -> None:
        """Count a tally's entries. The lock is held."""
        common, recent_only = _take(tally.common), _take(tally.recent_only)
        self._calls += len(common)
        self._recent_calls += len(recent_only)
        if self._closed:
            self._dropped += len(common)
            return
        if common:
            for hour, messages in _by_hour(common):
                self._count(tally.destination, hour, messages)
        newest = common[-RECENT_LENGTH:]
        if recent_only:
            newest = sorted(newest + recent_only[-RECENT_LENGTH:], key=_time_of)
        tally.recent.extend(newest)

    def _count(self, destination: Destination, hour: Hour, messages: Sequence[str]) -> None:
        counts = self._counts.setdefault((destination, hour), Counter())
        if destination == OVERFLOW:
            messages = [OTHER] * len(messages)
        if self._distinct + len(messages) <= self._settings.max_pending:
            # There is room even if all are new: counted in place, at the speed of C.
            before = len(counts)
            counts.update(messages)
            self._distinct += len(counts) - before
            return
        for message, amount in Counter(messages).items():
            if message in counts:
                counts[message] += amount
            elif self._distinct < self._settings.max_pending:
                counts[message] = amount
                self._distinct += 1
            else:
                counts[OTHER] = counts.get(OTHER, 0) + amount


def _nobody() -> None:
    """Wake nobody: there is no writer."""


def _take(entries: list[Entry]) -> list[Entry]:
    # Two atomic steps, and only whoever holds the lock removes: what is appended in between stays.
    taken = entries[:]
    del entries[: len(taken)]
    return taken


def _by_hour(entries: list[Entry]) -> Iterable[tuple[Hour, Sequence[str]]]:
    messages = list(map(_message_of, entries))
    # What is nearly in order is sorted in less time than min() and max() take.
    times = sorted(map(_time_of, entries))
    first, last = hour_of(times[0]), hour_of(times[-1])
    if first == last:
        return [(first, messages)]
    hours: dict[Hour, list[str]] = {}
    for message, seconds in entries:
        hours.setdefault(hour_of(seconds), []).append(message)
    return hours.items()


def _split(
    counts: Mapping[Group, dict[str, int]], recent: dict[Destination, list[Entry]], batch_size: int
) -> Iterator[Batch]:
    """Yield batches, the oldest hours first, so that a rotation finds them counted."""
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
