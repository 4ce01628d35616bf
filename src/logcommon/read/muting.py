"""Which messages are muted, and which have come back because they rise. No I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from logcommon.model import (
    Change,
    CommonRow,
    Counted,
    Destination,
    Hour,
    Mute,
)
from logcommon.read.compare import Windows, differences
from logcommon.read.overview import texts_of
from logcommon.read.windows import hours_passed


class Muting:
    """The mutes that apply at a moment, in seconds since the epoch."""

    def __init__(self, mutes: Iterable[Mute], now: float) -> None:
        self._now = now
        self._mutes = {each.message: each for each in mutes if not is_over(each, now)}

    def mark_rows(self, rows: Sequence[CommonRow], hour: Hour) -> list[CommonRow]:
        """Return rows of an hour, those marked that are muted."""
        hours = hours_passed([hour], self._now)
        return [replace(row, muted=True) if self._is_row_muted(row, hours) else row for row in rows]

    def mark_changes(self, changes: Sequence[Change]) -> tuple[Change, ...]:
        """Return changes, those marked that are muted."""
        return tuple(
            replace(each, muted=True)
            if self._is_muted(each.message, each.destination, _counted_after(each))
            else each
            for each in changes
        )

    def _is_row_muted(self, row: CommonRow, hours: float) -> bool:
        """Return whether a row is muted: it, or each of those that were merged into it."""
        now = Counted(row.count, hours)
        return self._is_muted(row.message, row.destination, now) or all(
            self._is_muted(each, row.destination, now) for each in texts_of(row)
        )

    def _is_muted(self, message: str, destination: Destination, now: Counted) -> bool:
        mute = self._mutes.get(message)
        return mute is not None and not _has_risen(mute, destination, now)


def _counted_after(change: Change) -> Counted:
    """Return how often a message was counted after, and for how long its service ran then."""
    hours = change.after / change.rate_after if change.rate_after else 1.0
    return Counted(change.after, hours)


def is_over(mute: Mute, now: float) -> bool:
    """Return whether a mute has expired."""
    return mute.until is not None and mute.until <= datetime.fromtimestamp(now, UTC)


def _has_risen(mute: Mute, destination: Destination, now: Counted) -> bool:
    """Return whether a message has risen by its factor since it was muted, beyond chance."""
    if mute.until_rises is None:
        return False
    before = mute.before.get(destination, Counted(0, 1.0))
    windows = Windows((0,), (), now.hours, before.hours)
    (found,) = differences({"": now.calls}, {"": before.calls}, windows, 0.0)
    return found.log_ratio > 0 and found.bound >= math.log(mute.until_rises)


def counted_lately(
    hourly: Mapping[Destination, Mapping[Hour, int]], now: float
) -> dict[Destination, Counted]:
    """Return how often a message is counted: in the busier one of its last two active hours."""
    found = {}
    for destination, counts in hourly.items():
        newest = sorted(counts)[-2:]
        candidates = [Counted(counts[hour], hours_passed([hour], now)) for hour in newest]
        busiest = max(candidates, key=lambda each: each.calls / each.hours, default=None)
        if busiest is not None and busiest.calls > 0:
            found[destination] = busiest
    return found
