"""Where an entry of a given hour is counted, and what has to move first. Pure.

The rotation is the book's (*Redis in Action*, section 5.1.2): as the hour turns, the current set
becomes `:last`. Ours never turns back, keeps older hours while history is kept, and stands a
missing set. Whoever executes these commands must hold a WATCH on `:start` and `:pstart`.
"""

import math
from dataclasses import dataclass

from logcommon.model import Hour, hour_text, parse_hour
from logcommon.schema.commands import Command
from logcommon.schema.keys import DestinationKeys

HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class HourState:
    """Which hours a destination's sets hold, as `:start` and `:pstart` say."""

    start: Hour | None
    previous: Hour | None

    @classmethod
    def read(cls, start: bytes | None, previous: bytes | None) -> "HourState":
        """Return the state for the values of `:start` and `:pstart`; what is no hour is none."""
        return cls(parse_hour(start), parse_hour(previous))


@dataclass(frozen=True, slots=True)
class Turn:
    """What has to be done so that an entry of one hour can be counted.

    `before` and `after` are the commands around the counting. `target` is the set to count in,
    None where the hour is older than what is kept. `fresh` says that the set is empty once
    `before` has run.
    """

    before: tuple[Command, ...]
    state: HourState
    target: bytes | None
    fresh: bool = False
    after: tuple[Command, ...] = ()


def first_hour_ahead(server_time: float, most: float) -> float:
    """Return the first hour that begins more than `most` seconds after the server's time.

    One clock that is a day ahead must not turn the hour for everybody else: their entries would be
    late at once, and soon too late.
    """
    latest = server_time + most
    return latest if math.isinf(latest) else latest // HOUR_SECONDS + 1


def turn(keys: DestinationKeys, state: HourState, hour: Hour, history_hours: int) -> Turn:
    """Return how to count an entry of `hour` in a destination that stands at `state`.

    `history_hours` is how many hours before `:last` are kept.
    """
    start, previous = state.start, state.previous
    if hour == start:
        return Turn((), state, keys.current)
    if hour == previous:
        return Turn((), state, keys.last)
    if start is not None and hour > start:
        return _new_hour(keys, start, previous, hour, history_hours)
    if previous is None or hour > previous:
        if start is None:
            # A set without `:start` is what the book's listing, as printed, leaves behind.
            begin: Command = (b"SET", keys.start, _text(hour))
            return Turn((begin,), HourState(hour, previous), keys.current)
        return _hour_between(keys, start, previous, hour, history_hours)
    if hour >= previous - history_hours:
        target = keys.hour(hour)
        return Turn((), state, target, after=(_expire(target, history_hours),))
    return Turn((), state, None)


def _new_hour(
    keys: DestinationKeys, start: Hour, previous: Hour | None, hour: Hour, history_hours: int
) -> Turn:
    before: tuple[Command, ...] = (
        *_archive(keys, previous, history_hours),
        # Fails, alone, where the current set is missing: `:last` is then empty, not stale.
        (b"RENAME", keys.current, keys.last),
        (b"SET", keys.previous_start, _text(start)),
        (b"SET", keys.start, _text(hour)),
    )
    return Turn(before, HourState(hour, start), keys.current, fresh=True)


def _hour_between(
    keys: DestinationKeys, start: Hour, previous: Hour | None, hour: Hour, history_hours: int
) -> Turn:
    """Late entries of an hour between `:pstart` and `:start` make it the last active one."""
    before: tuple[Command, ...] = (
        *_archive(keys, previous, history_hours),
        (b"SET", keys.previous_start, _text(hour)),
    )
    return Turn(before, HourState(start, hour), keys.last, fresh=True)


def _archive(
    keys: DestinationKeys, previous: Hour | None, history_hours: int
) -> tuple[Command, ...]:
    """Return the commands that empty `:last`, into its hour's own key while history is kept."""
    if previous is None or not history_hours:
        return ((b"DEL", keys.last),)
    archive = keys.hour(previous)
    return ((b"RENAME", keys.last, archive), _expire(archive, history_hours))


def _expire(key: bytes, history_hours: int) -> Command:
    # Relative, so that a clock of ours that is wrong can't make the server drop the hour at once.
    return (b"EXPIRE", key, (history_hours + 1) * HOUR_SECONDS)


def _text(hour: Hour) -> bytes:
    return hour_text(hour).encode()


def is_missing_set(command: Command, reply: object) -> bool:
    """Tell whether a reply is the one failure that a rotation expects: nothing to rename."""
    return command[0] == b"RENAME" and "no such key" in str(reply)
