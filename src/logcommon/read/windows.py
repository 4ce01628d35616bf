"""Which hours are compared. No I/O."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import HOUR_SECONDS, Hour, Mark, hour_of, hour_start
from logcommon.read.compare import Windows

Before: TypeAlias = datetime | Literal["yesterday", "history"] | None
"""What to compare with: an hour, the same hour yesterday, all kept hours, or the hour before."""

_HOURS_A_DAY = 24
_MARKS_SHOWN = 5
_SHORTEST = 1 / 60
"""Hours that the current hour counts for at least: in its first seconds it would be all change."""


def windows_of(
    active: Collection[Hour], now: float, after: datetime | None, before: Before
) -> Windows:
    """Return the windows for an hour and what it is compared with.

    Args:
        active: The hours in which anything was counted.
        now: The time, in seconds since the epoch.
        after: A moment in the hour to look at, None for the current one.
        before: What to compare it with; None for the newest active hour before.

    Raises:
        InvalidArgumentError: An argument can't be used.

    """
    looked_at = hour_of(now) if after is None else hour_containing(after)
    older = tuple(hour for hour in sorted(active) if hour < looked_at)
    if before is None:
        compared = older[-1:]
    elif before == "history":
        compared = older
    elif before == "yesterday":
        compared = (looked_at - _HOURS_A_DAY,)
    else:
        compared = (hour_containing(before),)

    compared = compared or (looked_at - 1,)
    if looked_at in compared:
        raise InvalidArgumentError("before must be another hour than after")
    return Windows((looked_at,), compared, hours_passed([looked_at], now), float(len(compared)))


def windows_since(active: Collection[Hour], now: float, since: datetime) -> Windows:
    """Return the windows before and after a moment, in whole hours.

    The hour of the moment belongs to neither, since sets are hourly. Until something is counted in
    a later one, it stands for what came after.
    """
    marked = hour_containing(since)
    newer = tuple(hour for hour in sorted(active) if hour > marked) or (marked,)
    older = tuple(hour for hour in sorted(active) if hour < marked)[-len(newer) :] or (marked - 1,)
    return Windows(newer, older, hours_passed(newer, now), float(len(older)))


def time_of_mark(text: str, marks: Sequence[Mark]) -> datetime:
    """Return when something was marked last.

    Args:
        text: The text of the mark.
        marks: All marks, the newest first.

    Raises:
        InvalidArgumentError: There is no such mark.

    """
    for mark in marks:
        if mark.text == text:
            return mark.time
    newest = ", ".join(repr(mark.text) for mark in marks[:_MARKS_SHOWN])
    known = f"the newest are {newest}" if newest else "nothing was marked yet"
    raise InvalidArgumentError(f"there is no mark {text!r}; {known}")


def hour_containing(moment: datetime) -> Hour:
    """Return the hour of a moment; a naive one is in UTC.

    Raises:
        InvalidArgumentError: It is not a datetime, or out of range in UTC.

    """
    if not isinstance(moment, datetime):
        raise InvalidArgumentError(f"hour must be a datetime, not {type(moment).__name__}")
    hour = hour_of((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    hour_start(hour)  # raises for one that is out of range in UTC
    return hour


def hours_passed(hours: Collection[Hour], now: float) -> float:
    """Return how long hours are together; of the current one only what has passed."""
    passed = {hour_of(now): now % HOUR_SECONDS / HOUR_SECONDS}
    return sum(max(passed.get(hour, 1.0), _SHORTEST) for hour in hours)
