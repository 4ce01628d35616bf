"""In which set an entry is counted, and which keys have to move first. No I/O.

The rotation is the book's (*Redis in Action*, section 5.1.2): when the hour turns, the current set
becomes `:last`. Unlike the book's, it never goes backwards, can keep older hours, and works when
the set to rename is missing. Execute these commands under a WATCH on `:start` and `:pstart`.
"""

import math
from dataclasses import dataclass

from logcommon.model import HOUR_SECONDS, Hour, hour_text, parse_hour
from logcommon.schema.commands import Command
from logcommon.schema.keys import DestinationKeys, with_hashes


@dataclass(frozen=True, slots=True)
class HourState:
    """Which hours a destination's sets hold, according to `:start` and `:pstart`."""

    start: Hour | None
    previous: Hour | None

    @classmethod
    def read(cls, start: bytes | None, previous: bytes | None) -> "HourState":
        """Return the state for the values of `:start` and `:pstart`; None if one is no hour."""
        return cls(parse_hour(start), parse_hour(previous))


@dataclass(frozen=True, slots=True)
class HourPlan:
    """How to count the entries of one hour: run `before`, count in `key`, run `after`."""

    before: tuple[Command, ...]
    state: HourState
    """The destination's state once this is done."""
    key: bytes | None
    """The set to count in; None if the hour is older than what is kept."""
    is_empty: bool = False
    """Whether `before` leaves that set empty."""
    after: tuple[Command, ...] = ()


def first_hour_ahead(server_time: float, max_lead: float) -> float:
    """Return the first hour that begins more than `max_lead` seconds after the server's time.

    One clock that is a day ahead must not start a new hour for everybody: all other entries would
    be late at once, and soon too late.
    """
    latest = server_time + max_lead
    return latest if math.isinf(latest) else latest // HOUR_SECONDS + 1


def plan_hour(keys: DestinationKeys, state: HourState, hour: Hour, history_hours: int) -> HourPlan:
    """Return how to count an entry of `hour` in a destination.

    Args:
        keys: The destination's keys.
        state: Which hours its sets hold now.
        hour: The entry's hour.
        history_hours: How many hours before `:last` are kept.

    """
    start, previous = state.start, state.previous
    if hour == start:
        return HourPlan((), state, keys.current)
    if hour == previous:
        return HourPlan((), state, keys.last)

    if start is not None and hour > start:
        return _plan_new_hour(keys, start, previous, hour, history_hours)
    if previous is not None and hour < previous:
        return _plan_archived_hour(keys, state, previous, hour, history_hours)
    if start is None:
        return _plan_first_hour(keys, previous, hour)
    return _plan_hour_between(keys, start, previous, hour, history_hours)


def _plan_first_hour(keys: DestinationKeys, previous: Hour | None, hour: Hour) -> HourPlan:
    """Set `:start` for the first time; keep a set without one, which the book's listing leaves."""
    begin: Command = (b"SET", keys.start, _text(hour))
    return HourPlan((begin,), HourState(hour, previous), keys.current)


def _plan_new_hour(
    keys: DestinationKeys, start: Hour, previous: Hour | None, hour: Hour, history_hours: int
) -> HourPlan:
    """Rotate: the current hour becomes the last one."""
    before: tuple[Command, ...] = (
        *_empty_last(keys, previous, history_hours),
        # If the current set is missing, this fails alone, and `:last` is empty instead of stale.
        *_rename(keys.current, keys.last),
        (b"SET", keys.previous_start, _text(start)),
        (b"SET", keys.start, _text(hour)),
    )

    return HourPlan(before, HourState(hour, start), keys.current, is_empty=True)


def _plan_hour_between(
    keys: DestinationKeys, start: Hour, previous: Hour | None, hour: Hour, history_hours: int
) -> HourPlan:
    """Make an hour between `:pstart` and `:start`, which was silent so far, the last one."""
    before: tuple[Command, ...] = (
        *_empty_last(keys, previous, history_hours),
        (b"SET", keys.previous_start, _text(hour)),
    )

    return HourPlan(before, HourState(start, hour), keys.last, is_empty=True)


def _plan_archived_hour(
    keys: DestinationKeys, state: HourState, previous: Hour, hour: Hour, history_hours: int
) -> HourPlan:
    """Count in the set of an hour older than `:last`, if that is still kept."""
    if hour < previous - history_hours:
        return HourPlan((), state, None)
    archive = keys.hour(hour)
    return HourPlan((), state, archive, after=_expire(archive, history_hours))


def _empty_last(
    keys: DestinationKeys, previous: Hour | None, history_hours: int
) -> tuple[Command, ...]:
    """Return the commands that move `:last` to its hour's own key, or delete it without history."""
    if previous is None or not history_hours:
        return ((b"DEL", *with_hashes(keys.last)),)
    archive = keys.hour(previous)
    return (*_rename(keys.last, archive), *_expire(archive, history_hours))


def _rename(key: bytes, new: bytes) -> tuple[Command, ...]:
    """Return the commands that rename a set, and those of its hashes that there are."""
    both = zip(with_hashes(key), with_hashes(new), strict=True)
    return tuple((b"RENAME", *each) for each in both)


def _expire(key: bytes, history_hours: int) -> tuple[Command, ...]:
    # Relative: with an absolute time, a wrong clock of ours could delete the hour at once.
    seconds = (history_hours + 1) * HOUR_SECONDS
    return tuple((b"EXPIRE", each, seconds) for each in with_hashes(key))


def _text(hour: Hour) -> bytes:
    return hour_text(hour).encode()


def is_missing_set(command: Command, reply: object) -> bool:
    """Return whether a reply is the one error that a rotation expects: nothing to rename."""
    return command[0] == b"RENAME" and "no such key" in str(reply)
