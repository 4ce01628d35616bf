"""Where calls put their entries, from any thread. No I/O, and no lock that a call waits for.

A call appends one tuple to a list, which is atomic. Every few hundred entries, whoever calls then
*folds* them into counts (see `pending`), so that memory grows with distinct messages and not with
calls.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from functools import partial
from typing import Any, NamedTuple

from logcommon.model import (
    CUT_MARK,
    RECENT_LENGTH,
    Clock,
    Destination,
    FixedText,
    Severity,
    checked_time,
    cut_message,
    plain_text,
)
from logcommon.runtime.atomic import Step, read_atomically
from logcommon.runtime.reentrancy import ReentrancyGuard
from logcommon.settings import Settings
from logcommon.write.batch import Batch
from logcommon.write.fold import ENTRY_BYTES, OVERFLOW
from logcommon.write.pending import Pending, Tally
from logcommon.write.templating import Templating

_FOLD_AT = 512
"""Entries of one destination that are folded together."""
_MOST_UNFOLDED = 16_384
"""Entries of all destinations together. If destinations are many, each is folded earlier."""

_SPELLINGS = 64
_LONGEST_CHARACTER = 4  # bytes in UTF-8
_READ_BY_HOOKS = 4
"""How many times `max_message_bytes` a hook is given of a message."""


class Numbers(NamedTuple):
    """How many calls a buffer has accepted, and where they are, all at the same moment."""

    calls: int
    recent_calls: int
    dropped: int
    """Of the calls, those that came after the close."""
    pending: int
    """Of the calls, those that are still here."""


class Buffer:
    """Takes entries from any thread, and hands them over in batches.

    Args:
        settings: The bounds and the clock.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = settings.clock if settings.clock is time.time else _checked(settings.clock)
        self._redact = settings.redact
        self._redacting = ReentrancyGuard()
        self._templating: Templating | None = None
        self._longest = settings.max_message_bytes
        if settings.template is not None:
            self._templating = Templating(settings.template, settings.max_message_bytes)
            self._longest *= _READ_BY_HOOKS
        # Characters of a message that is surely short enough; with `redact`, none is.
        surely_short = self._longest // _LONGEST_CHARACTER
        self._kept_as_is = surely_short if settings.redact is None else -1
        self._most_entries = settings.max_pending_bytes // (self._longest + ENTRY_BYTES)
        self.reset()

    def reset(self) -> None:
        """Start again with nothing, as in a forked child."""
        self._wake: Callable[[], None] = _wake_nobody
        self._wake_requests: list[object] = []
        self._pending = Pending(self._settings, self._templating)
        self._tallies: dict[Destination, Tally] = {}
        # Two lookups by one key each take less time than one by a pair that has to be made.
        self._by_severity_and_name: dict[Severity, dict[str, Tally]] = {}
        self._share_memory()

    def open(self, wake: Callable[[], None]) -> None:
        """Accept entries for a writer, instead of dropping them.

        `wake` is called from the thread of a call: when the writer has requested it, and when the
        buffer is half full.
        """
        # What came after a close stays dropped: `numbers` may have said so.
        self._fold_all(reopen=True)
        self._wake = wake

    def put(self, name: str, message: str, severity: Severity = logging.INFO) -> float:
        """Accept an entry to be counted, and return the time that it was given.

        Raises:
            InvalidArgumentError: The name, the message, the severity or the clock's time can't be
                used.

        """
        # This is the call that a service makes a million times: every line here is measured.
        if message.__class__ is not str:
            message = plain_text(message)
        try:
            tally: Tally | None = self._by_severity_and_name[severity][name]
        except (KeyError, TypeError):
            tally = None
        if tally is None:  # not above: what it raises would be shown under a KeyError
            tally = self._find_or_add(name, severity)

        if len(message) > self._kept_as_is:
            message = self._prepare(message)

        logged_at = self._clock()
        entries = tally.common
        entries.append((message, logged_at))
        if len(entries) >= self._fold_at:
            self._fold_one(tally)
        if self._wake_requests:
            self._wake_writer()
        return logged_at

    def put_recent(self, name: str, message: str, severity: Severity) -> None:
        """Accept an entry for the recent log alone; raises as `put` does."""
        message = plain_text(message)
        tally = self._find_or_add(name, severity)
        message = self._prepare(message)

        tally.recent_only.append((message, self._clock()))
        if len(tally.recent_only) >= self._fold_at:
            self._fold_one(tally)
        if self._wake_requests:
            self._wake_writer()

    @property
    def settings(self) -> Settings:
        """The bounds and the clock."""
        return self._settings

    def destination(self, name: str, severity: Severity) -> Destination:
        """Return the destination in which an accepted call with these arguments is counted."""
        destination = Destination.of(name, severity)
        return destination if destination in self._tallies else OVERFLOW

    def request_wake(self) -> bool:
        """Ask to be woken by the next put; return False, and don't, if something is pending."""
        self._wake_requests.append(object())
        if any(self._unfolded) or not self._pending.is_empty:
            self._wake_requests.clear()
        return bool(self._wake_requests)

    def call_on_next_put(self, function: Callable[[], None]) -> None:
        """Call `function` with the next put, in the thread of its caller."""
        self._wake = function
        self._wake_requests.append(object())

    @property
    def is_closed(self) -> bool:
        """Whether what is put is dropped."""
        return self._pending.is_closed

    @property
    def is_half_full(self) -> bool:
        """Whether half of the room for distinct messages is taken."""
        return self._pending.is_half_full

    def seal(self, *, last: bool = False) -> None:
        """Put all that is pending aside for `move`.

        After the `last` time, calls are counted as dropped until the buffer is opened again.
        """
        self._fold_all()
        while not self._pending.seal(close=last):
            time.sleep(0)
        if last:
            self._wake = _wake_nobody

    def learn_templates(self) -> Iterator[None]:
        """Compute the templates of what is pending, in short steps: yields after each.

        What was not computed before `move` or `copy`, these compute themselves.
        """
        if self._templating is not None:
            self._fold_all()
            yield from self._templating.learn(self._pending.messages())

    def move(self, batch_size: int, onto: MutableSequence[Batch]) -> None:
        """Move what was sealed to the end of `onto`, a deque or a list.

        Batches have at most `batch_size` distinct messages. Each call is at every moment either
        here or there, even if an exception interrupts this.
        """
        self._pending.move(batch_size, onto)

    def copy(self, batch_size: int) -> list[Batch]:
        """Return the batches that `seal` and `move` would move, without moving them."""
        self._fold_all()
        return self._pending.copy(batch_size)

    def read_steps(self) -> list[Step]:
        """Return the steps that read what `numbers` is computed from."""
        tallies = list(self._tallies.values())
        return [
            partial(sum, map(len, [tally.common for tally in tallies])),
            partial(sum, map(len, [tally.recent_only for tally in tallies])),
            *self._pending.read_steps(),
        ]

    def numbers(self, values: Sequence[Any] = ()) -> Numbers:
        """Return how many calls were accepted, and where they are; safe in a signal handler.

        `values` is what `read_steps()` returned, if those were read together with others.
        """
        unfolded, recent_only, totals, closed, sealed = values or read_atomically(
            *self.read_steps()
        )
        return Numbers(
            calls=totals.calls + unfolded,
            recent_calls=totals.recent_calls + recent_only,
            dropped=totals.dropped + unfolded * closed,
            pending=totals.waiting + unfolded * (not closed) + sum(each.calls for each in sealed),
        )

    def _prepare(self, message: str) -> str:
        """Return a message as it is kept: redacted, and cut to its bound.

        With templates the bound is higher: two messages that are cut before their parameters are
        replaced may end in different places of the same template.
        """
        prepared = cut_message(self._redacted(message), self._longest)
        return FixedText(prepared) if message.__class__ is FixedText else prepared

    def _redacted(self, message: str) -> str:
        if self._redact is None:
            return message
        thread = self._redacting.thread
        if thread.is_inside:
            return "<not logged: redact logged it>"  # it would recurse for ever

        longest = _READ_BY_HOOKS * self._settings.max_message_bytes
        cut_mark = CUT_MARK if len(message) > longest else ""
        try:
            thread.is_inside = True
            return plain_text(str(self._redact(message[:longest]))) + cut_mark
        except Exception as error:  # noqa: BLE001  # a call must not raise because a hook does
            return f"<not logged: redact raised {type(error).__name__}>"
        finally:
            thread.is_inside = False

    def _wake_writer(self) -> None:
        # Removed last: if a signal handler raises before that, the next put wakes the writer.
        requests = self._wake_requests[:1]
        self._wake()
        for request in requests:
            with contextlib.suppress(ValueError):
                self._wake_requests.remove(request)

    def _find_or_add(self, name: str, severity: Severity) -> Tally:
        """Return the tally for a call's arguments; add it if there is room for one more."""
        destination = Destination.of(name, severity)
        tally = self._tallies.get(destination)
        if tally is None:
            if len(self._tallies) >= self._settings.max_destinations:
                destination = OVERFLOW
            tally = self._tallies.get(destination) or self._add_tally(destination)

        # A severity has few spellings, but nothing guarantees that, so this is bounded as well.
        known = self._by_severity_and_name
        is_own = tally.destination != OVERFLOW and severity.__class__ in (int, str)
        if is_own and (severity in known or len(known) < _SPELLINGS):
            known.setdefault(severity, {})[destination.name] = tally
        return tally

    def _add_tally(self, destination: Destination) -> Tally:
        tally = self._tallies.setdefault(destination, Tally(destination))
        self._share_memory()
        return tally

    def _share_memory(self) -> None:
        """Share the memory for entries among the destinations that there are."""
        tallies = list(self._tallies.values())
        self._unfolded = [
            entries for each in tallies for entries in (each.common, each.recent_only)
        ]
        share = self._most_entries // max(1, len(tallies))
        self._fold_at = max(1, min(_FOLD_AT, share, _MOST_UNFOLDED // max(1, len(tallies))))
        # A power of two: each change goes through the recent entries of all destinations.
        self._recent_limit = max(1, min(RECENT_LENGTH, 1 << share.bit_length() >> 1))

    def _fold_one(self, tally: Tally) -> None:
        """Fold the entries of one destination, unless another thread is folding."""
        if self._pending.fold([tally], self._recent_limit) and self.is_half_full:
            self._wake()

    def _fold_all(self, *, reopen: bool = False) -> None:
        while not self._pending.fold(
            list(self._tallies.values()), self._recent_limit, reopen=reopen
        ):
            time.sleep(0)  # let the thread go on that was faster


def _checked(clock: Clock) -> Clock:
    """Return a clock that raises InvalidArgumentError if `clock` returns no valid time."""
    return lambda: checked_time(clock())


def _wake_nobody() -> None:
    """There is no writer."""
