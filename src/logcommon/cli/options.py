"""The options that commands share, and the parser for hours."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import click

from logcommon.server.target import EMBEDDED

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Option: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

_HOUR = timedelta(hours=1)


def resolve_hour(text: str, moment: datetime) -> datetime:
    """Return the first moment of the hour that `text` names at `moment`.

    Args:
        text: `current`, `last` for the hour before that, or an hour like `2026-11-23T21`, in UTC.
        moment: The time now, aware.

    Raises:
        ValueError: `text` does not name an hour.

    """
    if text == "current":
        return _start_of_hour(moment)
    if text == "last":
        return _start_of_hour(moment) - _HOUR

    day, _, _ = text.partition("T")
    if day == text:
        raise ValueError("a day alone names no hour")
    named = datetime.fromisoformat(text)
    return _start_of_hour(named if named.tzinfo else named.replace(tzinfo=UTC))


def _start_of_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


class HourType(click.ParamType[datetime]):
    """The type of the option `--hour`: the first moment of an hour, in UTC."""

    name = "hour"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the first moment of the hour that was named."""
        if isinstance(value, datetime):
            return value
        try:
            return resolve_hour(str(value), datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail("use current, last, or an hour like 2026-11-23T21 (UTC)", param, ctx)


url_option: _Option = click.option(
    "--url",
    envvar="LOGCOMMON_URL",
    show_envvar=True,
    default=EMBEDDED,
    show_default=True,
    help="redis://…, rediss://…, unix:///PATH, embedded: for a private server, or "
    "embedded:DIRECTORY.",
)


def output_option(command: _Command) -> _Command:
    """Add the options `--json` and `--csv`, as one argument `output`: `json`, `csv` or None."""
    for name, text in (("csv", "Print comma-separated values."), ("json", "Print JSON.")):
        command = click.option(f"--{name}", "output", flag_value=name, help=text)(command)
    return command


severity_option: _Option = click.option(
    "--severity", help="Only this severity: debug, info, warning, error, critical or any other."
)

merge_option: _Option = click.option(
    "--merge/--no-merge",
    default=None,
    help="Merge templates that differ only in words, such as names. The default is to do so if the "
    "messages are templates.",
)

hour_option: _Option = click.option(
    "--hour",
    type=HourType(),
    help="current, last, or an hour like 2026-11-23T21 (UTC); by default the newest with data.",
)


def count_option(default: int) -> Callable[[_Command], _Command]:
    """Return the option `-n`."""
    return click.option(
        "-n",
        "count",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="The most rows to show.",
    )
