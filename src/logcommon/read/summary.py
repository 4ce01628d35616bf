"""What is known of the most common messages of an hour besides their counts. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from logcommon.model import CommonRow, Hour, Series, SummaryRow, hour_of
from logcommon.read.compare import Windows, change_in
from logcommon.read.exposure import Lengths, exposed
from logcommon.read.windows import windows_of

Order: TypeAlias = Literal["count", "bytes"]
"""Which messages come first: the most common ones, or those whose lines take most bytes."""

_HOURS_SHOWN = 24


def sorted_rows(rows: Sequence[CommonRow], by: Order) -> list[CommonRow]:
    """Return rows, the most common first, in the order that is wanted."""
    return sorted(rows, key=lambda row: -row.size) if by == "bytes" else list(rows)


def with_text(rows: Sequence[CommonRow], text: str | None) -> list[CommonRow]:
    """Return the rows whose message has a text in it, in upper or lower case."""
    wanted = (text or "").casefold()
    return [row for row in rows if wanted in row.message.casefold()]


def windows_of_history(history: Series, hour: datetime, now: float) -> Windows:
    """Return what a message is compared with: the newest hour before in which it was possible."""
    return windows_of([hour_of(each.timestamp()) for each in history.counts], now, hour, None)


def summary_row(
    row: CommonRow, history: Series, windows: Windows, total: int, lengths: Lengths, now: float
) -> SummaryRow:
    """Return a row with its share, rate and change.

    Args:
        row: The row.
        history: Its counts in all kept hours.
        windows: Its hour, and what it is compared with.
        total: All calls of the hour.
        lengths: The hours in which its service began to log.
        now: The time, in seconds since the epoch.

    """
    by_hour: Mapping[Hour, int] = {
        hour_of(each.timestamp()): count for each, count in history.counts.items()
    }
    windows = exposed(windows, lengths, now)
    newest = windows.after[0]
    return SummaryRow(
        row,
        share=row.count / max(total, 1),
        per_minute=row.count / windows.after_hours / 60,
        change=change_in(by_hour, row.message, row.destination, windows),
        history=tuple(by_hour.get(newest - age, 0) for age in range(_HOURS_SHOWN - 1, -1, -1)),
    )
