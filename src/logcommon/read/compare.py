"""What has changed between two windows of hours, and by how much at least. No I/O.

Rates are compared, not counts, since an hour may not be over. The change of a rate is known only
within limits: counts are random, and the traffic of a steady service varies from hour to hour more
than chance alone. So messages are ranked by the lower bound of the log rate ratio, with a variance
that both add to. Without the part for the traffic it is the Wald test on the log ratio (Gu, Ng,
Tang and Schucany, 2008).
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple, TypeAlias

from logcommon.messages.merging import merge_templates
from logcommon.messages.words import has_placeholder
from logcommon.model import (
    HOUR_SECONDS,
    OTHER,
    Change,
    ChangeKind,
    Comparison,
    Destination,
    Hour,
    Window,
    hour_start,
)

Counts: TypeAlias = Mapping[str, int]

_NO_NAMES: Mapping[str, str] = {}

_DEVIATIONS = 2.0
"""Standard errors below the estimate that the lower bound is: few steady messages exceed it."""

_USUAL_DISPERSION = 0.125
"""If there is too little history: rates that vary by a third from hour to hour."""
MOST_FOR_DISPERSION = 100
"""The most common messages, which tell how much the traffic varies."""
_FEWEST_HOURS = 3
_FEWEST_CALLS = 5
"""Calls an hour, on average, from which the dispersion of a message can be estimated."""


class Windows(NamedTuple):
    """The hours that are compared, and for how long messages were counted in them."""

    after: tuple[Hour, ...]
    before: tuple[Hour, ...]
    after_hours: float
    """Of the hours after, how many have passed so far: the current one counts in part."""
    before_hours: float
    """The same of the hours before."""


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


class Ranking(NamedTuple):
    """How the messages of a destination have changed."""

    found: list[Difference]
    """The largest certain changes first."""
    groups: dict[str, str]
    """The merged template that each message belongs to, or itself."""
    other_after: int
    other_before: int
    """Calls that were counted as `<other>`."""

    def members(self, message: str) -> list[str]:
        """Return the messages that were merged into one."""
        return [each for each, group in self.groups.items() if group == message]


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
    expected = windows.after_hours / windows.before_hours
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
        _dispersion(counts)
        for counts in hourly
        if len(counts) >= _FEWEST_HOURS and fmean(counts) >= _FEWEST_CALLS
    ]
    return max(0.0, median(found)) if found else _USUAL_DISPERSION


def _dispersion(counts: Sequence[int]) -> float:
    # Not by `statistics.variance`, which computes with fractions: it would take half of the time.
    mean = fmean(counts)
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    return (variance - mean) / mean**2


def pooled(counts: Iterable[Counts]) -> Counter[str]:
    """Return the sums of the counts of several hours."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def renamed(
    examples: Mapping[str, str], template: Callable[[str], str], known: Collection[str]
) -> dict[str, str]:
    """Return which templates are other ones today, because the rules have changed.

    Args:
        examples: Templates that are not counted any more, each with a message that was.
        template: The rules of today.
        known: The templates that are counted now.

    """
    found = {}
    for old, message in examples.items():
        try:
            new = template(message)
        except Exception:  # noqa: BLE001, S112  # the hook is the application's
            continue
        if new != old and new in known:
            found[old] = new
    return found


def rank(
    hourly: Mapping[Hour, Counts],
    windows: Windows,
    *,
    merge: bool | None,
    names: Mapping[str, str] = _NO_NAMES,
) -> Ranking:
    """Return how the messages of a destination have changed.

    Args:
        hourly: The counts of both windows, and of other hours those of the common messages.
        windows: What to compare.
        merge: Whether templates are merged that differ only in words; None if there are any.
        names: The templates of today of those that are other ones today.

    """
    # Another program may have stored a score below 0.
    after, before = (
        +pooled(hourly.get(hour, {}) for hour in hours) for hours in (windows.after, windows.before)
    )
    others = after.pop(OTHER, 0), before.pop(OTHER, 0)
    messages = after + before
    groups = _groups(messages, names, merge=merge)

    whole = [hour for hour in hourly if hour not in windows.after]
    common = [message for message, _ in messages.most_common(MOST_FOR_DISPERSION)]
    dispersion = dispersion_of(
        [hourly[hour].get(message, 0) for hour in whole] for message in common
    )
    found = differences(_summed(groups, after), _summed(groups, before), windows, dispersion)
    return Ranking(found, groups, *others)


def best_of(
    rankings: Mapping[Destination, Ranking], n: int
) -> list[tuple[Destination, Difference]]:
    """Return the `n` largest certain changes of several destinations, the largest first."""
    found = [(each, one) for each, ranking in rankings.items() for one in ranking.found[:n]]
    return sorted(found, key=lambda pair: -pair[1].bound)[:n]


def comparison_of(
    changes: Iterable[Change], windows: Windows, rankings: Collection[Ranking]
) -> Comparison:
    """Return changes together with what was compared."""
    return Comparison(
        tuple(changes),
        _window(windows.after, windows.after_hours),
        _window(windows.before, windows.before_hours),
        sum(each.other_after for each in rankings),
        sum(each.other_before for each in rankings),
    )


def _window(hours: Collection[Hour], length: float) -> Window:
    return Window(tuple(map(hour_start, sorted(hours, reverse=True))), length * HOUR_SECONDS)


def change_of(
    found: Difference,
    destination: Destination,
    windows: Windows,
    seen: Collection[Hour],
    example: str | None = None,
) -> Change:
    """Return a difference as users see it.

    Args:
        found: The difference.
        destination: Where the message was counted.
        windows: What was compared.
        seen: All hours in which it was counted.
        example: One of the messages that were counted as it.

    """
    return Change(
        kind=_kind(found, was_seen=min(seen) < min(windows.after)),
        message=found.message,
        destination=destination,
        before=found.before,
        after=found.after,
        rate_before=found.before / windows.before_hours,
        rate_after=found.after / windows.after_hours,
        at_least=found.at_least,
        first_seen=hour_start(min(seen)),
        last_seen=hour_start(max(seen)),
        example=example,
    )


def change_in(
    history: Mapping[Hour, int], message: str, destination: Destination, windows: Windows
) -> Change | None:
    """Return how one message has changed, judged by its own history; None if it wasn't counted.

    Args:
        history: Its counts in all kept hours.
        message: The message.
        destination: Where it was counted.
        windows: What to compare.

    """
    after, before = (sum(history.get(hour, 0) for hour in hours) for hours in windows[:2])
    seen = [hour for hour, count in history.items() if count > 0]
    if after + before <= 0 or not seen:
        return None
    whole = [count for hour, count in history.items() if hour not in windows.after]
    (found,) = differences({message: after}, {message: before}, windows, dispersion_of([whole]))
    return change_of(found, destination, windows, seen)


def _kind(found: Difference, *, was_seen: bool) -> ChangeKind:
    if found.after and not found.before:
        return "back" if was_seen else "new"
    if found.bound <= 0:
        return "steady"
    if not found.after:
        return "gone"
    return "rising" if found.log_ratio > 0 else "falling"


def _groups(messages: Counts, names: Mapping[str, str], *, merge: bool | None) -> dict[str, str]:
    today: Counter[str] = Counter()
    for message, count in messages.items():
        today[names.get(message, message)] += count

    if merge is None:
        merge = any(map(has_placeholder, today))
    groups = merge_templates(today) if merge else {message: message for message in today}
    return {message: groups[names.get(message, message)] for message in messages}


def _summed(groups: Mapping[str, str], counts: Counts) -> Counter[str]:
    total: Counter[str] = Counter()
    for message, count in counts.items():
        total[groups[message]] += count
    return total
