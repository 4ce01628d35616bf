"""What the commands that read ask of Redis, over one destination or several.

Of several, those that can't be read are left out, with a warning that names the key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from logcommon.cli.failures import UnknownNameError
from logcommon.cli.terminal import note
from logcommon.client import CommonLog
from logcommon.exceptions import ClusterUnsupportedError, ServerRefusedError
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
    found, refused = await _each(lambda it: log.hours(it.name, it.severity), chosen)
    newest = max((hour for _, held in found for hour in held), default=None)
    if newest is None and refused:
        raise refused[0]
    return newest


async def most_common(
    log: CommonLog, chosen: Sequence[Destination], count: int, hour: datetime
) -> list[Common]:
    """Return the most common messages of an hour over several destinations."""
    rows = await _readable(lambda it: log.top(it.name, it.severity, count, hour), chosen)
    found = [Common(destination, row) for destination, held in rows for row in held]
    return sorted(found, key=lambda each: each.row.count, reverse=True)[:count]


async def most_recent(log: CommonLog, chosen: Sequence[Destination], count: int) -> list[Recent]:
    """Return the newest entries over several destinations; those without a time come last."""
    rows = await _readable(lambda it: log.recent(it.name, it.severity, count), chosen)
    # Times are whole seconds. Within one, destinations take turns, so that all are seen, and each
    # keeps the order of its recent log.
    found = [
        (_time_or_never(row), -position, Recent(destination, row))
        for destination, held in rows
        for position, row in enumerate(held)
    ]
    found.sort(key=itemgetter(0, 1), reverse=True)
    return [each for _, _, each in found[:count]]


async def hours_held(log: CommonLog) -> list[Held]:
    """Return every destination that was logged to, and its hours."""
    known = await log.destinations()
    hours = await _readable(lambda it: log.hours(it.name, it.severity), known)
    return [Held(destination, held) for destination, held in hours]


async def _unregistered(log: CommonLog, name: str, severity: str | None) -> list[Destination]:
    """Return the destinations of a name that only the book's own functions have written to."""
    severities = _STANDARD_SEVERITIES if severity is None else (severity,)
    possible = [Destination.of(name, each) for each in severities]
    hours, _ = await _each(lambda it: log.hours(it.name, it.severity), possible)
    entries, _ = await _each(lambda it: log.recent(it.name, it.severity, 1), possible)
    # What can't be read is there all the same; reading it again says why.
    empty = {it for it, held in hours if not held} & {it for it, held in entries if not held}
    return [it for it in possible if it not in empty]


async def _readable(
    read: Callable[[Destination], Awaitable[_T]], chosen: Sequence[Destination]
) -> list[tuple[Destination, _T]]:
    """Read of all destinations; warn of those that can't be read, or raise if none can."""
    found, refused = await _each(read, chosen)
    if refused and not found:
        raise refused[0]
    for error in refused:
        note(f"warning: not shown: {error}")
    return found


async def _each(
    read: Callable[[Destination], Awaitable[_T]], chosen: Sequence[Destination]
) -> tuple[list[tuple[Destination, _T]], list[ServerRefusedError]]:
    """Read of all destinations, of a few at once: a distant server is not waited for each time.

    Return what was read of which, and what Redis refused: a key may be of another type.
    """
    limit = asyncio.Semaphore(_AT_ONCE)
    refused: list[ServerRefusedError] = []

    async def limited(destination: Destination) -> list[tuple[Destination, _T]]:
        async with limit:
            try:
                return [(destination, await read(destination))]
            except ClusterUnsupportedError:
                raise
            except ServerRefusedError as error:
                refused.append(error)
                return []

    found = await asyncio.gather(*map(limited, chosen))
    return [each for pair in found for each in pair], refused


def _time_or_never(row: RecentRow) -> float:
    return row.time.timestamp() if row.time else float("-inf")


def _unknown(name: str, known: Sequence[Destination]) -> str:
    names = sorted({each.name for each in known})
    if not names:
        return f"nothing was ever logged as {name!r}, nor as anything else"
    more = len(names) - _NAMES_SHOWN
    listed = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"nothing was ever logged as {name!r}; there is {listed}"
