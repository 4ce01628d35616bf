"""What has changed between two windows of hours, and by how much at least. No I/O.

Rates are compared, not counts, since an hour may not be over. The change of a rate is known only
within limits: counts are random, and the traffic of a steady service varies from hour to hour more
than chance alone. So messages are ranked by the lower bound of the log rate ratio, with a variance
that both add to. Without the part for the traffic it is the Wald test on the log ratio (Gu, Ng,
Tang and Schucany, 2008).
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import mean, median, variance
from typing import NamedTuple, TypeAlias

from logcommon.messages.merging import merge_templates
from logcommon.messages.words import has_placeholder
from logcommon.model import Hour

Counts: TypeAlias = Mapping[str, int]

_DEVIATIONS = 2.0
"""Standard errors below the estimate that the lower bound is: few steady messages exceed it."""

_USUAL_DISPERSION = 0.125
"""If there is too little history: rates that vary by a third from hour to hour."""
_FEWEST_HOURS = 3
_FEWEST_CALLS = 5
"""Calls an hour, on average, from which the dispersion of a message can be estimated."""


class Windows(NamedTuple):
    """The hours that are compared, and for how long messages were counted in them."""

    after: tuple[Hour, ...]
    before: tuple[Hour, ...]
    after_hours: float
    """Of the hours after, how many have passed so far: the current one counts in part."""

    @property
    def before_hours(self) -> float:
        """How many hours the window before has."""
        return float(len(self.before))


class Difference(NamedTuple):
    """How often a message was counted in each window, and what follows from it."""

    message: str
    before: int
    after: int
    log_ratio: float
    """Of the rate after to the rate before; half a call is added to each count."""
    bound: float
    """By how much the absolute log ratio exceeds what chance and traffic explain; below 0, it does
    not."""

    @property
    def at_least(self) -> float:
        """The factor by which the rate has changed at least, up or down; 1 if that is uncertain."""
        return math.exp(max(self.bound, 0.0))


def differences(
    after: Counts, before: Counts, windows: Windows, dispersion: float
) -> list[Difference]:
    """Return how each message has changed, those first that have changed the most for certain.

    Args:
        after: The counts of the window after.
        before: The counts of the window before.
        windows: How long each is.
        dispersion: The squared coefficient of variation of hourly rates, as `dispersion_of`
            estimates it.

    """
    hourly = dispersion * (1 / len(windows.after) + 1 / max(1, len(windows.before)))
    found = [
        _difference(message, before.get(message, 0), after.get(message, 0), windows, hourly)
        for message in {**after, **before}
    ]
    return sorted(found, key=lambda each: (-each.bound, -each.after - each.before, each.message))


def _difference(
    message: str, before: int, after: int, windows: Windows, hourly: float
) -> Difference:
    expected = windows.after_hours / max(windows.before_hours, 1.0)
    log_ratio = math.log((after + 0.5) / (before + 0.5) / expected)
    error = math.sqrt(1 / (after + 0.5) + 1 / (before + 0.5) + hourly)
    return Difference(message, before, after, log_ratio, abs(log_ratio) - _DEVIATIONS * error)


def dispersion_of(hourly: Iterable[Sequence[int]]) -> float:
    """Return the squared coefficient of variation of hourly rates, beyond that of chance.

    It is the median of (s² - m) / m² over the messages that are common enough.

    Args:
        hourly: For each message, its counts in whole hours.

    """
    found = [
        (variance(counts) - mean(counts)) / mean(counts) ** 2
        for counts in hourly
        if len(counts) >= _FEWEST_HOURS and mean(counts) >= _FEWEST_CALLS
    ]
    return max(0.0, median(found)) if found else _USUAL_DISPERSION


def pooled(counts: Iterable[Counts]) -> Counter[str]:
    """Return the sums of the counts of several hours."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def merged_messages(
    messages: Counts, *, merge: bool | None, unmerged: Collection[str] = ()
) -> dict[str, str]:
    """Return for each message the merged template that it belongs to, or itself.

    Args:
        messages: How often each occurred, in both windows together.
        merge: Whether to merge; None to do so if there are templates.
        unmerged: Messages that are always themselves.

    """
    if merge is None:
        merge = any(map(has_placeholder, messages))
    if not merge:
        return {message: message for message in messages}
    merging = {message: count for message, count in messages.items() if message not in unmerged}
    return {message: message for message in messages} | merge_templates(merging)


def summed_by(groups: Mapping[str, str], counts: Counts) -> Counter[str]:
    """Return the counts of the groups that messages belong to."""
    total: Counter[str] = Counter()
    for message, count in counts.items():
        total[groups.get(message, message)] += count
    return total
