"""What was read, as JSON documents; `schema.json` describes them. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from logcommon.model import (
    Change,
    Comparison,
    Destination,
    Mark,
    Mute,
    RecentRow,
    Series,
    Summary,
    SummaryRow,
    Window,
)
from logcommon.read.exposure import lately
from logcommon.stats import Stats

Document: TypeAlias = dict[str, Any]

_HOURS_SHOWN = 25
_MINUTES_SHOWN = 60


def summary_document(found: Summary | None) -> Document:
    """Return the most common messages of an hour."""
    if found is None:
        return {"hour": None, "calls": 0, "messages": 0, "rows": []}
    return {
        "hour": _iso(found.hour),
        "calls": found.calls,
        "messages": found.messages,
        "rows": [_summary_row(each) for each in found.rows],
    }


def _summary_row(each: SummaryRow) -> Document:
    row, change = each.row, each.change
    return {
        **row.destination._asdict(),
        "message": row.message,
        "count": row.count,
        "share": _rounded(each.share),
        "per_minute": _rounded(each.per_minute),
        "bytes": row.size,
        "change": None if change is None else change.kind,
        "at_least": None if change is None else _rounded(change.at_least),
        "history": list(each.history),
        "example": row.example,
        "merged": len(row.merged),
        "muted": row.muted,
    }


def changes_document(found: Comparison) -> Document:
    """Return what has changed; what is steady is left out."""
    return {
        "after": _window(found.after),
        "before": _window(found.before),
        "changes": [_change(each) for each in found.changes if each.kind != "steady"],
    }


def _window(window: Window) -> Document:
    return {"hours": [_iso(hour) for hour in window.hours], "seconds": window.seconds}


def _change(change: Change) -> Document:
    return {
        **change.destination._asdict(),
        "kind": change.kind,
        "message": change.message,
        "before": change.before,
        "after": change.after,
        "rate_before": _rounded(change.rate_before),
        "rate_after": _rounded(change.rate_after),
        "at_least": _rounded(change.at_least),
        "first_seen": _iso(change.first_seen),
        "last_seen": _iso(change.last_seen),
        "example": change.example,
        "muted": change.muted,
    }


def recent_document(rows: Iterable[RecentRow]) -> Document:
    """Return the newest entries, newest first."""
    return {
        "rows": [
            {**row.destination._asdict(), "time": _iso(row.time), "message": row.message}
            for row in rows
        ]
    }


def activity_document(
    minutes: Mapping[Destination, Mapping[datetime, int]], marks: Sequence[Mark], now: datetime
) -> Document:
    """Return the calls of each of the last hours and minutes by severity, and the marks in them."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    this_minute = now.replace(second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=age) for age in range(_HOURS_SHOWN - 1, -1, -1)]
    newest = [this_minute - timedelta(minutes=age) for age in range(_MINUTES_SHOWN - 1, -1, -1)]

    by_hour: dict[datetime, dict[str, int]] = {hour: {} for hour in hours}
    by_minute: dict[datetime, dict[str, int]] = {minute: {} for minute in newest}
    for destination, calls in minutes.items():
        for minute, count in calls.items():
            _add(by_hour, minute.replace(minute=0), destination.severity, count)
            _add(by_minute, minute, destination.severity, count)
    return {
        "hours": [{"time": _iso(hour), "calls": by_hour[hour]} for hour in hours],
        "minutes": [{"time": _iso(minute), "calls": by_minute[minute]} for minute in newest],
        "marks": [
            {"time": _iso(mark.time), "text": mark.text} for mark in marks if mark.time >= hours[0]
        ],
    }


def _add(
    calls: Mapping[datetime, dict[str, int]], moment: datetime, severity: str, count: int
) -> None:
    """Add to the calls of a moment, if it is one of those that are shown."""
    found = calls.get(moment)
    if found is not None:
        found[severity] = found.get(severity, 0) + count


def destinations_document(
    hours: Mapping[Destination, Sequence[datetime]],
    minutes: Mapping[Destination, Mapping[datetime, int]],
    now: float,
) -> Document:
    """Return every destination with its calls of late, and all hours that any of them has."""
    rows = []
    for destination, held in hours.items():
        calls = lately(minutes.get(destination, {}), now)
        rows.append(
            {
                **destination._asdict(),
                "last_minute": calls.minute,
                "last_hour": calls.hour,
                "last_day": calls.day,
                "hours": [_iso(hour) for hour in held],
            }
        )
    every = sorted({hour for held in hours.values() for hour in held}, reverse=True)
    return {"destinations": rows, "hours": [_iso(hour) for hour in every]}


def health_document(stats: Stats) -> Document:
    """Return how the client of this process does."""
    return {
        "calls": stats.calls,
        "pending": stats.pending,
        "counted": stats.counted,
        "other": stats.other,
        "dropped": stats.dropped,
        "connects": stats.connects,
        "restarts": stats.restarts,
        "last_commit_age": stats.last_commit_age,
    }


def message_document(
    destination: Destination,
    message: str,
    row: SummaryRow | None,
    series: Series,
    mute: Mute | None,
) -> Document:
    """Return all that is known of one message of a destination."""
    merged = () if row is None else row.row.merged
    return {
        **destination._asdict(),
        "message": message,
        "row": None if row is None else _summary_row(row),
        "merged": [{"message": each.message, "count": each.count} for each in merged],
        "series": [{"time": _iso(hour), "count": count} for hour, count in series.counts.items()],
        "first_seen": _iso(series.first_seen),
        "last_seen": _iso(series.last_seen),
        "mute": None
        if mute is None
        else {"until": _iso(mute.until), "until_rises": mute.until_rises},
    }


def _rounded(number: float) -> float:
    """Return three significant digits: more would change with every second of the hour."""
    return float(f"{number:.3g}")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
