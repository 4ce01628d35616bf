"""Which hours are compared."""

from datetime import UTC, datetime, timedelta

import pytest

from logcommon import InvalidArgumentError, Mark
from logcommon.model import hour_start
from logcommon.read.windows import Before, time_of_mark, windows_of, windows_since

NOON = 400_000
ACTIVE = (NOON, NOON - 1, NOON - 3, NOON - 30)
AT_HALF_PAST = NOON * 3600 + 1800.0


@pytest.mark.parametrize(
    ("after", "before", "hours", "others", "length"),
    [
        (None, None, NOON, (NOON - 1,), 0.5),
        (None, "history", NOON, (NOON - 30, NOON - 3, NOON - 1), 0.5),
        (None, "yesterday", NOON, (NOON - 24,), 0.5),
        (None, hour_start(NOON - 7), NOON, (NOON - 7,), 0.5),
        (hour_start(NOON - 1), None, NOON - 1, (NOON - 3,), 1.0),
        (hour_start(NOON - 30), None, NOON - 30, (NOON - 31,), 1.0),
        (hour_start(NOON - 30), "history", NOON - 30, (NOON - 31,), 1.0),
    ],
)
def test_an_hour_and_what_it_is_compared_with(
    after: datetime | None, before: Before, hours: int, others: tuple[int, ...], length: float
) -> None:
    """The current hour has the length that has passed; hours without any counts are skipped."""
    found = windows_of(ACTIVE, AT_HALF_PAST, after, before)
    assert (found.after, found.before, found.after_hours) == ((hours,), others, length)


def test_the_first_seconds_of_an_hour_are_not_everything() -> None:
    """The current hour counts for a minute at least."""
    assert windows_of(ACTIVE, NOON * 3600.0, None, None).after_hours == pytest.approx(1 / 60)


@pytest.mark.parametrize(
    ("since", "after", "before", "length"),
    [
        (NOON - 3, (NOON - 1, NOON), (NOON - 30,), 1.5),
        (NOON - 2, (NOON - 1, NOON), (NOON - 30, NOON - 3), 1.5),
        (NOON - 1, (NOON,), (NOON - 3,), 0.5),
        (NOON, (NOON,), (NOON - 1,), 0.5),
        (NOON - 40, (NOON - 30, NOON - 3, NOON - 1, NOON), (NOON - 41,), 3.5),
    ],
)
def test_since_a_moment(
    since: int, after: tuple[int, ...], before: tuple[int, ...], length: float
) -> None:
    """Whole hours on either side; the hour of the moment only if there is no later one."""
    moment = hour_start(since) + timedelta(minutes=20)
    found = windows_since(ACTIVE, AT_HALF_PAST, moment)
    assert (found.after, found.before, found.after_hours) == (after, before, length)


@pytest.mark.parametrize("before", [hour_start(NOON), "last"])
def test_what_cannot_be_compared(before: Before) -> None:
    """An hour with itself, or with what is no hour."""
    with pytest.raises(InvalidArgumentError, match=r"before|hour must be a datetime"):
        windows_of(ACTIVE, AT_HALF_PAST, None, before)


def test_a_mark_is_found_by_its_text() -> None:
    """The newest of that text; for another one the error names those that there are."""
    times = [datetime(2026, 11, 25, hour, tzinfo=UTC) for hour in range(3)]
    marks = [Mark(times[2], "b"), Mark(times[1], "a"), Mark(times[0], "a")]
    assert time_of_mark("a", marks) == times[1]
    with pytest.raises(InvalidArgumentError, match="no mark 'c'; the newest are 'b', 'a', 'a'"):
        time_of_mark("c", marks)
    with pytest.raises(InvalidArgumentError, match="nothing was marked yet"):
        time_of_mark("c", [])
