"""Hours as a person names them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from logcommon.cli.options import HourType, resolve_hour

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
    """An hour is named by a word or by a time in it, in UTC unless it has another zone."""
    assert resolve_hour(text, NOW) == hour


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-23", "T", "2026-11-23T25", "21"])
def test_what_names_no_hour_is_refused(text: str) -> None:
    """Even a day alone is refused: it would silently mean midnight."""
    with pytest.raises(ValueError, match=r".+"):
        resolve_hour(text, NOW)


def test_an_hour_begins_in_utc() -> None:
    """The hour of a time is a UTC hour, even if hours in its zone begin at another minute."""
    india = timezone(timedelta(hours=5, minutes=30))
    assert resolve_hour("current", datetime(2026, 11, 24, 2, 45, tzinfo=india)) == THIS_HOUR


def test_an_hour_that_is_given_as_a_time_is_kept() -> None:
    """Click may convert a value twice: the default of an option, for instance."""
    assert HourType().convert(THIS_HOUR, None, None) is THIS_HOUR
