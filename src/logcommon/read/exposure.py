"""For how long a service has logged in an hour in which it began to, and how much lately. No I/O.

Rates are by the hour, and a service that was started ten minutes ago had ten minutes for its calls.
A service that was silent in the hour before and then has calls in most minutes has begun to log;
one that logs seldom, or in bursts, had the whole hour for them.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from logcommon.model import (
    HOUR_SECONDS,
    MINUTE_SECONDS,
    Destination,
    Hour,
    Minute,
    minute_of,
    minute_start,
)
from logcommon.read.compare import Windows
from logcommon.read.windows import hours_passed

Lengths: TypeAlias = Mapping[Hour, float]
"""Hours that count in part, each with the part from which on the service has logged in it."""

_MINUTES = HOUR_SECONDS // MINUTE_SECONDS
_FEWEST_MINUTES = 5
"""Minutes with calls, in which one can see that a service logs all the time."""


def beginnings(
    held: Mapping[Destination, Collection[Hour]], wanted: Collection[Hour]
) -> dict[Destination, list[Hour]]:
    """Return those of the wanted hours before which a service was silent, by destination.

    Args:
        held: The hours in which anything was counted, for all destinations of each service.
        wanted: The hours that are compared.

    """
    active: dict[str, set[Hour]] = {}
    for destination, hours in held.items():
        active.setdefault(destination.name, set()).update(hours)
    found = {
        destination: [
            hour
            for hour in sorted(wanted)
            if hour in hours and hour - 1 not in active[destination.name]
        ]
        for destination, hours in held.items()
    }
    return {destination: hours for destination, hours in found.items() if hours}


def lengths_of(
    minutes: Mapping[Destination, Mapping[Minute, int]], now: float
) -> Mapping[str, Lengths]:
    """Return the lengths of the hours in which services began to log, by service.

    Args:
        minutes: The calls of each minute of hours before which the service was silent.
        now: The time, in seconds since the epoch.

    """
    busy: dict[tuple[str, Hour], set[Minute]] = {}
    for destination, calls in minutes.items():
        for minute in calls:
            busy.setdefault((destination.name, minute // _MINUTES), set()).add(minute)

    lengths: dict[str, dict[Hour, float]] = {}
    for (name, hour), found in busy.items():
        length = min((hour + 1) * _MINUTES, now / MINUTE_SECONDS) - min(found)
        if len(found) >= max(_FEWEST_MINUTES, length / 2):
            lengths.setdefault(name, {})[hour] = length / _MINUTES
    return lengths


def exposed(windows: Windows, lengths: Lengths, now: float) -> Windows:
    """Return windows in which the hours that count in part do so."""
    return windows._replace(
        after_hours=_length(windows.after, lengths, now),
        before_hours=_length(windows.before, lengths, now),
    )


def _length(hours: Iterable[Hour], lengths: Lengths, now: float) -> float:
    return sum(lengths.get(hour) or hours_passed([hour], now) for hour in hours)


class Lately(NamedTuple):
    """How many calls there were of late."""

    minute: int
    """In the last whole minute."""
    hour: int
    """In 59 whole minutes and the one that is not over."""
    day: int
    """The same for 24 hours."""


def lately(calls: Mapping[datetime, int], now: float) -> Lately:
    """Return how many calls there were of late, given those of each minute."""
    current = minute_start(minute_of(now))
    hour, day = (
        sum(count for minute, count in calls.items() if minute > current - length)
        for length in (timedelta(hours=1), timedelta(days=1))
    )
    return Lately(calls.get(current - timedelta(minutes=1), 0), hour, day)
