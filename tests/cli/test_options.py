"""Hours as a person names them and wants them named."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon.cli.hours import describe_hour, hours_ago, parse_hour, start_of_hour

NOW = datetime(2026, 11, 23, 21, 10, 58, tzinfo=UTC)
THIS_HOUR = datetime(2026, 11, 23, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("current", THIS_HOUR),
        ("last", datetime(2026, 11, 23, 20, tzinfo=UTC)),
        ("2026-11-23T21", THIS_HOUR),
        ("2026-11-23T21:59", THIS_HOUR),
        ("2026-11-23T21:00:00Z", THIS_HOUR),
        ("2026-11-23T23:30+02:00", THIS_HOUR),
    ],
)
def test_an_hour_can_be_named(text: str, hour: datetime) -> None:
    """By a word, or by a time in it, in UTC unless it says otherwise."""
    assert parse_hour(text, NOW) == hour


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-23", "T", "2026-11-23T25", "21"])
def test_what_names_no_hour_is_refused(text: str) -> None:
    """A day alone is refused as well: it would quietly mean midnight."""
    with pytest.raises(ValueError, match=r".+"):
        parse_hour(text, NOW)


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0, "2026-11-23 21:00 to 22:00 UTC, the current hour"),
        (1, "2026-11-23 20:00 to 21:00 UTC, the last hour"),
        (2, "2026-11-23 19:00 to 20:00 UTC, 2 hours ago"),
        (22, "2026-11-22 23:00 to 00:00 UTC, 22 hours ago"),
        (-2, "2026-11-23 23:00 to 00:00 UTC, 2 h ahead of this computer's clock"),
    ],
)
def test_an_hour_is_described_with_its_age(age: int, text: str) -> None:
    """An old hour, or one of a wrong clock, is never taken for the current one."""
    assert describe_hour(THIS_HOUR - timedelta(hours=age), NOW) == text


@given(st.integers(-1000, 1000), st.integers(0, 3599))
def test_age_is_counted_in_whole_hours(age: int, second: int) -> None:
    """It does not depend on how much of this hour has passed."""
    assert hours_ago(THIS_HOUR - timedelta(hours=age), THIS_HOUR + timedelta(seconds=second)) == age


def test_an_hour_begins_in_utc() -> None:
    """Also for a time of a zone whose hours begin at another minute."""
    india = timezone(timedelta(hours=5, minutes=30))
    assert start_of_hour(datetime(2026, 11, 24, 2, 45, tzinfo=india)) == THIS_HOUR
