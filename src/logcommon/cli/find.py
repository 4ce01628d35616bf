"""What the commands that read ask of Redis, over one destination or several."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from logcommon.cli.failures import UnknownNameError
from logcommon.client import CommonLog
from logcommon.model import CommonRow, Destination, RecentRow, severity_name

_T = TypeVar("_T")

_AT_ONCE = 16
_NAMES_SHOWN = 5
_STANDARD_SEVERITIES = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True)
class Common:
    """A common message and where it was logged."""

    destination: Destination
    row: CommonRow


@dataclass(frozen=True, slots=True)
class Recent:
    """A recent message and where it was logged."""

    destination: Destination
    row: RecentRow


@dataclass(frozen=True, slots=True)
class Held:
    """A destination and the hours that have counts, newest first."""

    destination: Destination
    hours: list[datetime]


async def choose(log: CommonLog, name: str | None, severity: str | None) -> list[Destination]:
    """Return the destinations of a service and a severity, or of all where they are None.

    Raises:
        UnknownNameError: Nothing was ever logged under this name.

    """
    wanted = None if severity is None else severity_name(severity)
    known = await log.destinations()
    if name is not None:
        named = [each for each in known if each.name == name]
        named = named or await _unregistered(log, name, wanted)
        if not named:
            raise UnknownNameError(_unknown(name, known))
        known = named
    return [each for each in known if wanted in (None, each.severity)]


async def newest_hour(log: CommonLog, chosen: Sequence[Destination]) -> datetime | None:
    """Return the newest hour that has counts in any of the destinations."""
    hours = await _each(lambda it: log.hours(it.name, it.severity), chosen)
    return max((hour for held in hours for hour in held), default=None)


async def most_common(
    log: CommonLog, chosen: Sequence[Destination], count: int, hour: datetime
) -> list[Common]:
    """Return the most common messages of an hour over several destinations."""
    rows = await _each(lambda it: log.top(it.name, it.severity, count, hour), chosen)
    found = [
        Common(destination, row)
        for destination, held in zip(chosen, rows, strict=True)
        for row in held
    ]
    return sorted(found, key=lambda each: each.row.count, reverse=True)[:count]


async def most_recent(log: CommonLog, chosen: Sequence[Destination], count: int) -> list[Recent]:
    """Return the newest entries over several destinations; those without a time come last."""
    rows = await _each(lambda it: log.recent(it.name, it.severity, count), chosen)
    # Times are whole seconds. Within one, destinations take turns, so that all are seen, and each
    # keeps the order of its recent log.
    found = [
        (_time_or_never(row), -position, Recent(destination, row))
        for destination, held in zip(chosen, rows, strict=True)
        for position, row in enumerate(held)
    ]
    found.sort(key=itemgetter(0, 1), reverse=True)
    return [each for _, _, each in found[:count]]


async def hours_held(log: CommonLog) -> list[Held]:
    """Return every destination that was logged to, and its hours."""
    known = await log.destinations()
    hours = await _each(lambda it: log.hours(it.name, it.severity), known)
    return list(map(Held, known, hours))


async def _unregistered(log: CommonLog, name: str, severity: str | None) -> list[Destination]:
    """Return the destinations of a name that only the book's own functions have written to."""
    severities = _STANDARD_SEVERITIES if severity is None else (severity,)
    possible = [Destination.of(name, each) for each in severities]
    hours = await _each(lambda it: log.hours(it.name, it.severity), possible)
    entries = await _each(lambda it: log.recent(it.name, it.severity, 1), possible)
    return [
        destination
        for destination, *held in zip(possible, hours, entries, strict=True)
        if any(held)
    ]


async def _each(
    read: Callable[[Destination], Awaitable[_T]], chosen: Sequence[Destination]
) -> list[_T]:
    """Read of all destinations, of a few at once: a distant server is not waited for each time."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def limited(destination: Destination) -> _T:
        async with limit:
            return await read(destination)

    return await asyncio.gather(*map(limited, chosen))


def _time_or_never(row: RecentRow) -> float:
    return row.time.timestamp() if row.time else float("-inf")


def _unknown(name: str, known: Sequence[Destination]) -> str:
    names = sorted({each.name for each in known})
    if not names:
        return f"nothing was ever logged as {name!r}, nor as anything else"
    more = len(names) - _NAMES_SHOWN
    listed = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"nothing was ever logged as {name!r}; there is {listed}"
