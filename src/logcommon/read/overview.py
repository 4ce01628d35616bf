"""Selects destinations, and merges the rows of several. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain

from logcommon.messages.merging import merge_templates
from logcommon.model import (
    STANDARD_SEVERITIES,
    CommonRow,
    Destination,
    Hour,
    Minute,
    RecentRow,
    Series,
    Severity,
    hour_start,
    minute_start,
    severity_name,
)


def named_destinations(name: str | None, severity: Severity | None) -> set[Destination]:
    """Return the destinations that the arguments name, registered or not; none without a name.

    The book's functions register nothing, so a name alone includes the standard severities.

    Raises:
        InvalidArgumentError: The name or the severity can't be used.

    """
    if name is None:
        return set()
    severities = STANDARD_SEVERITIES if severity is None else (severity,)
    return {Destination.of(name, each) for each in severities}


def matching(
    destinations: Iterable[Destination], name: str | None, severity: Severity | None
) -> set[Destination]:
    """Return the destinations with this name and this severity; None matches all."""
    wanted = None if severity is None else severity_name(severity)
    return {
        each
        for each in destinations
        if name in (None, each.name) and wanted in (None, each.severity)
    }


def merge_common(found: Iterable[Sequence[CommonRow]], n: int) -> list[CommonRow]:
    """Return the `n` most common rows; equally common ones in the order of destinations."""
    rows = chain.from_iterable(found)
    return sorted(rows, key=lambda row: row.count, reverse=True)[:n]


def merge_rows(rows: Sequence[CommonRow]) -> list[CommonRow]:
    """Return the rows of one destination and hour with their templates merged, in order."""
    templates = merge_templates({row.message: row.count for row in rows})
    groups: dict[str, list[CommonRow]] = {}
    for row in rows:
        groups.setdefault(templates[row.message], []).append(row)

    merged = [_merged(template, group) for template, group in groups.items()]
    return sorted(merged, key=lambda row: row.count, reverse=True)


def _merged(template: str, rows: list[CommonRow]) -> CommonRow:
    if len(rows) == 1:
        return rows[0]
    count = sum(row.count for row in rows)
    return replace(rows[0], count=count, message=template, merged=tuple(rows))


def with_example(row: CommonRow, examples: Mapping[str, str]) -> CommonRow:
    """Return a row with the example of its template, or of the first of those merged into it."""
    example = examples.get(row.merged[0].message if row.merged else row.message)
    return row if example is None else replace(row, example=example)


def texts_of(row: CommonRow) -> list[str]:
    """Return the messages that a row counts: its own, or those that were merged into it."""
    return [each.message for each in row.merged] or [row.message]


def history_of(row: CommonRow, hourly: Mapping[Hour, Mapping[str, int]]) -> Series:
    """Return how often a row's message was counted in each hour."""
    texts = texts_of(row)
    return Series(
        row.message,
        {
            hour_start(hour): sum(hourly[hour].get(text, 0) for text in texts)
            for hour in sorted(hourly)
        },
    )


def merge_recent(found: Iterable[Sequence[RecentRow]], n: int) -> list[RecentRow]:
    """Return the `n` newest rows; those without a time come last.

    Times are whole seconds. Within a second destinations take turns, so that each is seen, and the
    rows of each stay in the order of its recent log.
    """
    placed = [(row, position) for rows in found for position, row in enumerate(rows)]
    placed.sort(key=lambda each: (_seconds(each[0]), -each[1]), reverse=True)
    return [row for row, _ in placed[:n]]


def merge_hours(found: Iterable[Iterable[datetime]]) -> list[datetime]:
    """Return the hours that any destination has, newest first."""
    return sorted(set(chain.from_iterable(found)), reverse=True)


def by_moment(minutes: Mapping[Minute, int]) -> dict[datetime, int]:
    """Return the calls of each minute by its first moment, in UTC, the oldest first."""
    return {minute_start(minute): minutes[minute] for minute in sorted(minutes)}


def _seconds(row: RecentRow) -> float:
    return row.time.timestamp() if row.time else float("-inf")
