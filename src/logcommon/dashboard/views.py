"""What a page asks for, and the reading that answers it: the same as that of the command line."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Self

from logcommon.client import CommonLog
from logcommon.dashboard.documents import (
    Document,
    activity_document,
    changes_document,
    destinations_document,
    health_document,
    message_document,
    recent_document,
    summary_document,
)
from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Destination

MOST_ROWS = 1_000
"""Rows that a page gets at most; it says how many there are."""

_CHANGES = 100
_HOURS = 25


class View(NamedTuple):
    """The parameters of a page's address."""

    name: str | None = None
    severity: str | None = None
    text: str | None = None
    hour: datetime | None = None
    rows: int = 100
    message: str | None = None
    """A message that is looked at closely, and where it is counted."""
    in_name: str | None = None
    in_severity: str | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Return the view that a query string describes.

        Raises:
            InvalidArgumentError: A parameter can't be used.

        """
        hour, rows = query.get("hour"), query.get("rows") or "100"
        if not rows.isascii() or not rows.isdigit() or not 0 < int(rows[:9]) <= MOST_ROWS:
            raise InvalidArgumentError(f"rows must be a number from 1 to {MOST_ROWS:,}")
        view = cls(
            name=query.get("name") or None,
            severity=query.get("severity") or None,
            text=query.get("text") or None,
            hour=_parse_hour(hour) if hour else None,
            rows=int(rows),
            message=query.get("message"),
            in_name=query.get("in_name") or None,
            in_severity=query.get("in_severity") or None,
        )
        for name, severity in ((view.name, view.severity), (view.in_name, view.in_severity)):
            Destination.of(name or "any", severity or "any")  # raises
        if view.message is not None and None in (view.in_name, view.in_severity):
            raise InvalidArgumentError("a message needs in_name and in_severity")
        return view


def _parse_hour(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgumentError("hour must be a time like 2026-11-23T21:00:00Z") from None


class Part(NamedTuple):
    """A document of a page."""

    read: Callable[[CommonLog, View], Awaitable[Document]]
    fields: tuple[str, ...]
    """The parameters that it depends on: views that share them share the reading."""
    interval: float
    """Seconds between two readings."""


async def _summary(log: CommonLog, view: View) -> Document:
    found = await log.summary(view.name, view.severity, view.rows, view.hour, text=view.text)
    return summary_document(found)


async def _changes(log: CommonLog, view: View) -> Document:
    # Not the current hour if nothing is logged in it yet, but the newest that has counts.
    hour = view.hour or next(iter(await log.hours(view.name, view.severity)), None)
    return changes_document(await log.compare(view.name, view.severity, _CHANGES, after=hour))


async def _recent(log: CommonLog, view: View) -> Document:
    return recent_document(await log.recent(view.name, view.severity))


async def _activity(log: CommonLog, view: View) -> Document:
    minutes = await log.minutes(view.name, view.severity, hours=_HOURS)
    now = datetime.fromtimestamp(log.settings.clock(), UTC)
    return activity_document(minutes, await log.marks(), now)


async def _destinations(log: CommonLog, _: View) -> Document:
    hours = await log.hours_by_destination()
    minutes = await log.minutes(hours=_HOURS) if hours else {}
    return destinations_document(hours, minutes, log.settings.clock())


async def _health(log: CommonLog, _: View) -> Document:
    return health_document(log.stats)


async def _message(log: CommonLog, view: View) -> Document:
    message = view.message
    if message is None or view.in_name is None or view.in_severity is None:
        raise InvalidArgumentError("a message, in_name and in_severity are needed")
    where = Destination.of(view.in_name, view.in_severity)
    summary = await log.summary(*where, MOST_ROWS, view.hour, text=message)
    rows = () if summary is None else summary.rows
    row = next((each for each in rows if each.row.message == message), None)
    if row is None:
        series = await log.series(message, *where)
    else:
        (series,) = await log.histories([row.row])
    mute = next((each for each in await log.mutes() if each.message == message), None)
    return message_document(where, message, row, series, mute)


PARTS: Mapping[str, Part] = {
    "summary": Part(_summary, ("name", "severity", "text", "hour", "rows"), 1.0),
    "recent": Part(_recent, ("name", "severity"), 1.0),
    "health": Part(_health, (), 1.0),
    "changes": Part(_changes, ("name", "severity", "hour"), 3.0),
    "activity": Part(_activity, ("name", "severity"), 5.0),
    "destinations": Part(_destinations, (), 5.0),
    "message": Part(_message, ("in_name", "in_severity", "hour", "message"), 3.0),
}


def parts_of(view: View) -> tuple[str, ...]:
    """Return the names of the documents that a page with this view shows."""
    return tuple(name for name in PARTS if name != "message" or view.message is not None)


def reduced(view: View, part: Part) -> View:
    """Return a view with only what a part depends on."""
    return View(**{field: getattr(view, field) for field in part.fields})
