"""What was logged and is not yet written, coalesced under a bound. No I/O, no locks.

A call appends one tuple to a list, which is atomic. Every few hundred entries somebody *folds*
them: works out the new counts beside the old ones, and then publishes them in one step that
nothing can interrupt, unless somebody else has published meanwhile. So a fold is optimistic, as the
transaction in Redis is: an exception from a signal handler, at any point, leaves all of it done or
none, and there is no lock that it could leave behind.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, MutableSequence, Sequence
from functools import partial
from typing import Any, NamedTuple

from logcommon.model import (
    CUT_MARK,
    RECENT_LENGTH,
    Clock,
    Destination,
    Severity,
    checked_time,
    cut_message,
    plain_text,
)
from logcommon.runtime.atomic import Step, atomically, read_atomically
from logcommon.runtime.reentrancy import ReentrancyGuard
from logcommon.settings import Settings
from logcommon.write.batch import Batch, Counts, Entry, Recent, split
from logcommon.write.fold import ENTRY_BYTES, OVERFLOW, Fold, Room

_FOLD_AT = 512
_MOST_UNFOLDED = 16_384
"""Entries of all destinations together; with many of them, each is folded earlier."""

_SPELLINGS = 64
_LONGEST_CHARACTER = 4  # bytes in UTF-8
_READ_BY_REDACT = 4
"""How many times `max_message_bytes` a hook is given of a message, in characters."""


class Numbers(NamedTuple):
    """How many calls a buffer has accepted, and where they are, as of one moment."""

    calls: int
    recent_calls: int
    dropped: int
    """Of the calls, those that came after the close."""
    pending: int
    """Of the calls, those that are still here."""


class _Totals(NamedTuple):
    """What folding has come to."""

    calls: int = 0
    recent_calls: int = 0
    dropped: int = 0
    waiting: int = 0
    """Calls that the counts stand for."""
    room: Room = Room()


class _Tally:
    """The entries of one destination that are not folded yet."""

    __slots__ = ("common", "destination", "recent_only")

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.common: list[Entry] = []
        self.recent_only: list[Entry] = []


class _Sealed(NamedTuple):
    """Counts that no fold can reach any more, and how many calls they stand for."""

    counts: Counts
    recent: Recent
    calls: int


class Buffer:
    """Takes entries from any thread; gives them up in batches.

    Args:
        settings: The bounds and the clock.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = settings.clock if settings.clock is time.time else _checked(settings.clock)
        self._redact = settings.redact
        self._redacting = ReentrancyGuard()
        self._surely_short = settings.max_message_bytes // _LONGEST_CHARACTER
        longest = settings.max_message_bytes + ENTRY_BYTES
        self._most_entries = settings.max_pending_bytes // longest
        self.reset()

    def reset(self) -> None:
        """Forget everything, as in a new process."""
        self._wake: Callable[[], None] = _nobody
        self._sleeper: list[object] = []
        self._closed = False
        self._tallies: dict[Destination, _Tally] = {}
        self._share()
        # Two lookups by one key each take less time than one by a pair that has to be made.
        self._by_severity_and_name: dict[Severity, dict[str, _Tally]] = {}
        self._version = [0]
        self._counts: Counts = {}
        self._recent: Recent = {}
        self._totals = _Totals()
        self._sealed: list[_Sealed] = []

    def open(self, wake: Callable[[], None]) -> None:
        """Serve a writer.

        `wake` is called, from the thread of a call, when the sleeping writer is wanted, and again
        when the buffer is half full.
        """
        # What came after a close is dropped, as `numbers` may have said.
        self._fold_all(partial(setattr, self, "_closed", False))  # noqa: FBT003  # its value
        self._wake = wake

    def put(self, name: str, message: str, severity: Severity = logging.INFO) -> float:
        """Accept an entry to be counted, and return the time that it got.

        Raises:
            InvalidArgumentError: The name, the message, the severity or the clock's time can't be
                used.

        """
        # This is the call that a service makes a million times: every line here is measured.
        if message.__class__ is not str:
            message = plain_text(message)
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
        if len(entries) >= self._fold_at:
            self._fold_some(tally)
        if self._sleeper:
            self._wake_up()
        return now

    def put_recent(self, name: str, message: str, severity: Severity) -> None:
        """Accept an entry for the recent log alone; raises as `put` does."""
        message = plain_text(message)
        tally = self._resolve(name, severity)
        message = cut_message(self._redacted(message), self._settings.max_message_bytes)
        tally.recent_only.append((message, self._clock()))
        if len(tally.recent_only) >= self._fold_at:
            self._fold_some(tally)
        if self._sleeper:
            self._wake_up()

    def destination(self, name: str, severity: Severity) -> Destination:
        """Return where a call with these arguments is counted."""
        return self._resolve(name, severity).destination

    def sleep(self) -> bool:
        """Ask to be woken by the next put; return False, and don't, if something is pending."""
        self._sleeper.append(object())
        if any(self._unfolded) or self._counts or self._recent:
            self._sleeper.clear()
        return bool(self._sleeper)

    def tell_of_next(self, call: Callable[[], None]) -> None:
        """Call `call` with the next put, in the thread of its caller."""
        self._wake = call
        self._sleeper.append(object())

    @property
    def is_closed(self) -> bool:
        """Whether what is put is dropped."""
        return self._closed

    @property
    def crowded(self) -> bool:
        """Whether half of the room for distinct messages is taken."""
        room, settings = self._totals.room, self._settings
        return (
            room.distinct * 2 >= settings.max_pending or room.size * 2 >= settings.max_pending_bytes
        )

    def drain(self, batch_size: int, onto: MutableSequence[Batch], *, last: bool = False) -> None:
        """Move all that is pending to the end of `onto`, a deque or a list.

        Batches have at most `batch_size` distinct messages. Each call is at every moment here or
        there, even if an exception interrupts this. After the `last` time calls are counted as
        dropped, until this is opened again.
        """
        self._fold_all()
        while not self._seal(last=last):
            time.sleep(0)

        while self._sealed:
            counts, recent, _ = self._sealed[0]
            batches = list(split(counts, recent, batch_size))
            atomically(partial(onto.extend, batches), partial(self._sealed.pop, 0))

    def copy(self, batch_size: int) -> list[Batch]:
        """Return what `drain` would give up, and keep it."""
        self._fold_all()
        # Each is copied in one step: other threads go on counting.
        counts = {group: dict(messages) for group, messages in list(self._counts.items())}
        waiting = [*self._sealed, _Sealed(counts, dict(self._recent), 0)]
        return [batch for each in waiting for batch in split(*each[:2], batch_size)]

    def snapshot(self) -> list[Step]:
        """Return the steps that read what `numbers` is made of."""
        tallies = list(self._tallies.values())
        return [
            partial(getattr, self, "_totals"),
            partial(sum, map(len, [tally.common for tally in tallies])),
            partial(sum, map(len, [tally.recent_only for tally in tallies])),
            partial(getattr, self, "_closed"),
            partial(tuple, self._sealed),
        ]

    def numbers(self, snapshot: Sequence[Any] = ()) -> Numbers:
        """Return how many calls were accepted, and where they are; safe in a signal handler.

        `snapshot` is what the steps of `snapshot()` returned, if they were read with others.
        """
        totals, unfolded, recent_only, closed, sealed = snapshot or read_atomically(
            *self.snapshot()
        )
        return Numbers(
            calls=totals.calls + unfolded,
            recent_calls=totals.recent_calls + recent_only,
            dropped=totals.dropped + unfolded * closed,
            pending=totals.waiting + unfolded * (not closed) + sum(each.calls for each in sealed),
        )

    def _redacted(self, message: str) -> str:
        if self._redact is None:
            return message
        thread = self._redacting.thread
        if thread.is_inside:
            return "<not logged: redact logged it>"  # and would do so for ever
        longest = _READ_BY_REDACT * self._settings.max_message_bytes
        cut_mark = CUT_MARK if len(message) > longest else ""
        try:
            thread.is_inside = True
            return plain_text(str(self._redact(message[:longest]))) + cut_mark
        except Exception as error:  # noqa: BLE001  # a call must not raise for the hook's sake
            return f"<not logged: redact raised {type(error).__name__}>"
        finally:
            thread.is_inside = False

    def _wake_up(self) -> None:
        # Taken out last: if a signal handler raises before that, the next put wakes the writer.
        sleeper = self._sleeper[:]
        self._wake()
        if sleeper:
            with contextlib.suppress(ValueError):
                self._sleeper.remove(sleeper[0])

    def _resolve(self, name: str, severity: Severity) -> _Tally:
        """Return the tally for a call's arguments, making it if there is room for one more."""
        destination = Destination.of(name, severity)
        tally = self._tallies.get(destination)
        if tally is None:
            if len(self._tallies) >= self._settings.max_destinations:
                destination = OVERFLOW
            tally = self._tallies.get(destination) or self._new_tally(destination)

        # Spellings of a severity are few, but nothing says so: this has a bound as well.
        known = self._by_severity_and_name
        is_new = tally.destination != OVERFLOW and severity.__class__ in (int, str)
        if is_new and (severity in known or len(known) < _SPELLINGS):
            known.setdefault(severity, {})[destination.name] = tally
        return tally

    def _new_tally(self, destination: Destination) -> _Tally:
        tally = self._tallies.setdefault(destination, _Tally(destination))
        self._share()
        return tally

    def _share(self) -> None:
        """Share the memory for entries among the destinations there are."""
        tallies = list(self._tallies.values())
        self._unfolded = [
            entries for each in tallies for entries in (each.common, each.recent_only)
        ]
        share = self._most_entries // max(1, len(tallies))
        self._fold_at = max(1, min(_FOLD_AT, share, _MOST_UNFOLDED // max(1, len(tallies))))
        # In powers of two: with each change the recent entries of all destinations are gone over.
        self._keep = max(1, min(RECENT_LENGTH, 1 << share.bit_length() >> 1))

    def _fold_some(self, tally: _Tally) -> None:
        """Fold the entries of one destination, unless somebody else is at it."""
        if self._fold([tally]) and self.crowded:
            self._wake()

    def _fold_all(self, *afterwards: Step) -> None:
        while not self._fold(list(self._tallies.values()), *afterwards):
            time.sleep(0)  # lets the thread go on that was faster

    def _fold(self, tallies: Iterable[_Tally], *afterwards: Step) -> bool:
        """Count the entries so far; return False if somebody else has published meanwhile."""
        version, closed = self._version[:], self._closed
        totals, counts, recent = self._totals, self._counts, self._recent
        fold = Fold(counts, recent, totals.room, self._settings, self._keep)
        calls, recent_calls = 0, 0
        steps: list[Step] = []
        for tally in tallies:
            common, recent_only = tally.common[:], tally.recent_only[:]
            if not (common or recent_only):
                continue
            if not closed:
                fold.add(tally.destination, common, recent_only)
            calls, recent_calls = calls + len(common), recent_calls + len(recent_only)
            steps += _removing(common, tally.common), _removing(recent_only, tally.recent_only)
        fold.thin_out()

        for group, messages in fold.counts.items():
            before = counts.get(group)
            steps.append(
                partial(counts.__setitem__, group, messages)
                if before is None
                else partial(before.update, messages)
            )
        folded = _Totals(
            calls=totals.calls + calls,
            recent_calls=totals.recent_calls + recent_calls,
            dropped=totals.dropped + calls * closed,
            waiting=totals.waiting + calls * (not closed),
            room=fold.room,
        )
        steps += partial(recent.update, fold.recent), partial(setattr, self, "_totals", folded)
        return self._publish(version, *steps, *afterwards)

    def _seal(self, *, last: bool) -> bool:
        """Put the counts aside; return False if somebody else has published meanwhile."""
        version, totals = self._version[:], self._totals
        sealed = _Sealed(self._counts, self._recent, totals.waiting)
        steps: list[Step] = [partial(setattr, self, "_closed", self._closed or last)]
        if sealed.counts or sealed.recent:
            steps += (
                partial(self._sealed.append, sealed),
                partial(setattr, self, "_counts", {}),
                partial(setattr, self, "_recent", {}),
                partial(setattr, self, "_totals", totals._replace(waiting=0, room=Room())),
            )
        if not self._publish(version, *steps):
            return False
        if last:
            self._wake = _nobody
        return True

    def _publish(self, version: list[int], *steps: Step) -> bool:
        """Take `steps` if nobody has published since `version` was read; tell whether."""
        # It is empty in the middle of a publication, which the garbage collector can interrupt
        # with a finalizer that logs.
        if not version:
            return False
        try:
            atomically(
                partial(self._version.remove, version[0]),
                *steps,
                partial(self._version.append, version[0] + 1),
            )
        except ValueError:
            return False
        return True


def _removing(taken: list[Entry], entries: list[Entry]) -> Step:
    """Return the step that takes out what is first; what was appended meanwhile stays."""
    return partial(entries.__delitem__, slice(len(taken)))


def _checked(clock: Clock) -> Clock:
    """Return a clock that raises InvalidArgumentError if `clock` returns no time."""
    return lambda: checked_time(clock())


def _nobody() -> None:
    """Wake nobody: there is no writer."""
