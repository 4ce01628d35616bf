"""Hours as a person names them and wants them named. Pure."""

from datetime import UTC, datetime, timedelta

import click

HOUR = timedelta(hours=1)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def start_of_hour(moment: datetime) -> datetime:
    """Return the first moment of the UTC hour; a naive time is UTC."""
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.replace(minute=0, second=0, microsecond=0)


def hours_ago(hour: datetime, moment: datetime) -> int:
    """Return by how many hours `hour` is before that of `moment`."""
    return (start_of_hour(moment) - hour) // HOUR


def parse_hour(text: str, moment: datetime) -> datetime:
    """Return the first moment of the hour that `text` names at `moment`.

    Args:
        text: `current`, `last` for the hour before it, or one like `2026-11-23T21`, in UTC.
        moment: The time.

    Raises:
        ValueError: It names no hour.

    """
    if text == "current":
        return start_of_hour(moment)
    if text == "last":
        return start_of_hour(moment) - HOUR
    day, _, _ = text.partition("T")
    if day == text:
        raise ValueError("a day alone names no hour")
    return start_of_hour(datetime.fromisoformat(text))


def describe_hour(hour: datetime, moment: datetime) -> str:
    """Return which hour it is and how long ago, so that an old one is never taken for this one."""
    return (
        f"{hour:%Y-%m-%d %H}:00 to {(hour.hour + 1) % 24:02}:00 UTC, {describe_age(hour, moment)}"
    )


def describe_age(hour: datetime, moment: datetime) -> str:
    """Return how long before the hour of `moment` an hour is."""
    age = hours_ago(hour, moment)
    if age < 0:
        return f"{-age} h ahead of this computer's clock"
    return {0: "the current hour", 1: "the last hour"}.get(age, f"{age:,} hours ago")


class HourType(click.ParamType[datetime]):
    """The type of the option `--hour`."""

    name = "hour"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the first moment of the hour."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_hour(str(value), now())
        except (ValueError, OverflowError):
            self.fail("use current, last, or an hour like 2026-11-23T21 (UTC)", param, ctx)
