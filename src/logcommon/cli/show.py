"""The commands `recent` and `destinations`, and what commands that read have in common."""

from collections.abc import Iterable
from datetime import UTC, datetime

import click

from logcommon.cli.failures import ExitCode, UnknownNameError
from logcommon.cli.options import (
    count_option,
    output_option,
    severity_option,
    url_option,
)
from logcommon.cli.output import note, print_line, print_rows, result_console, visible
from logcommon.cli.recorder import HISTORY_HOURS
from logcommon.cli.signals import Stop, end_code, run, run_or_raise
from logcommon.cli.tables import (
    describe_hour,
    destination_table,
    print_recent,
    print_titled,
    recent_table,
)
from logcommon.client import CommonLog, connect
from logcommon.model import Destination, RecentRow, severity_name
from logcommon.read.exposure import Lately, lately

_NAMES_SHOWN = 5
_HOURS_A_DAY = 24


@click.command()
@click.argument("name", required=False)
@severity_option
@count_option(20)
@click.option("--follow", is_flag=True, help="Go on with what is logged, until Ctrl-C.")
@output_option
@url_option
def recent(
    name: str | None,
    severity: str | None,
    count: int,
    follow: bool,  # noqa: FBT001
    output: str | None,
    url: str,
) -> int:
    """Show the newest messages, newest first; with --follow, oldest first.

    Without NAME, the messages of all services are shown together. Times are whole seconds, so the
    order within a second is unknown across severities and services.

    \b
    Examples:
      logcommon recent shop
      logcommon recent --severity error -n 50
      logcommon recent shop --follow
      logcommon recent --follow --json | jq -r .message
    """  # noqa: D301  # click's mark for lines to keep
    if follow and output == "csv":
        raise click.UsageError("--follow prints text, or with --json a line for each message")
    if follow:
        return run(lambda stop: _follow(stop, url, name, severity, count, as_json=bool(output)))

    rows = run_or_raise(_recent(url, name, severity, count))

    if output:
        print_rows(output, [_recent_json(row) for row in rows])
    elif not rows:
        say_nothing_found(name, severity, None)
    else:
        console = result_console()
        title = f"{whose(name, severity)}: newest first, times in UTC"
        table = recent_table(console, rows, datetime.now(UTC), with_name=name is None)
        print_titled(console, title, table)
    return ExitCode.OK


@click.command()
@output_option
@url_option
def destinations(
    output: str | None,
    url: str,
) -> None:
    """Show which services and severities were logged to, and how much lately.

    The calls of a minute are those of the last one that is over.

    \b
    Example:
      logcommon destinations --json
    """  # noqa: D301  # click's mark for lines to keep
    held = run_or_raise(_destinations(url))

    if output:
        print_rows(output, [_destination_json(each, *found) for each, found in held.items()])
    elif not held:
        say_nothing_found(None, None, None)
    else:
        table = destination_table(held, datetime.now(UTC))
        print_titled(result_console(), "Destinations", table)


async def _recent(url: str, name: str | None, severity: str | None, count: int) -> list[RecentRow]:
    async with connect(url) as log:
        rows = await log.recent(name, severity, count)
        if not rows:
            await require_known(log, name, severity)
        return rows


async def _follow(
    stop: Stop, url: str, name: str | None, severity: str | None, count: int, *, as_json: bool
) -> int:
    console = result_console()
    async with connect(url) as log:
        await log.destinations()  # fails at once without a server; following would wait
        with stop.scope:
            async for new in log.follow(name, severity, count):
                for destination, missed in new.missed.items():
                    note(f"{whose(*destination)}: {missed:,} messages came too fast to be shown")
                for row in new.rows:
                    if as_json:
                        print_line(_recent_json(row))
                    else:
                        print_recent(console, row, with_name=name is None)
    return end_code(stop.signal)


async def _destinations(url: str) -> dict[Destination, tuple[list[datetime], Lately]]:
    async with connect(url, history_hours=HISTORY_HOURS) as log:
        hours = await log.hours_by_destination()
        minutes = await log.minutes(hours=_HOURS_A_DAY + 1) if hours else {}
        now = log.settings.clock()
        return {each: (found, lately(minutes.get(each, {}), now)) for each, found in hours.items()}


async def require_known(log: CommonLog, name: str | None, severity: str | None) -> None:
    """Raise UnknownNameError if nothing was ever logged under the name that was given."""
    names = {each.name for each in await log.destinations()}
    if name is None or name in names:
        return
    # The book's functions register no names.
    if not (await log.hours(name, severity) or await log.recent(name, severity, 1)):
        raise UnknownNameError(_unknown(name, names))


def _unknown(name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    if not known:
        return f"nothing was ever logged as {name!r}, nor as anything else"

    listed = ", ".join(known[:_NAMES_SHOWN])
    more = len(known) - _NAMES_SHOWN
    return f"nothing was ever logged as {name!r}; there is {listed}" + (
        f" and {more} more" if more > 0 else ""
    )


def whose(name: str | None, severity: str | None) -> str:
    """Return the beginning of a title: which services and severities it is about."""
    parts = ("All services" if name is None else name, severity and severity_name(severity))
    return " · ".join(filter(None, parts))


def say_nothing_found(name: str | None, severity: str | None, hour: datetime | None) -> None:
    """Print that nothing was logged, and what to begin with if that is of everything."""
    when = "" if hour is None else f" in {describe_hour(hour, datetime.now(UTC))}"
    hint = " Begin with: logcommon demo" if (name, severity, hour) == (None, None, None) else ""
    text = f"{whose(name, severity)}: nothing was logged{when}.{hint}"
    result_console().print(visible(text), soft_wrap=True)


def _recent_json(row: RecentRow) -> dict[str, object]:
    return {**row.destination._asdict(), "time": iso(row.time), "message": row.message}


def _destination_json(
    destination: Destination, hours: list[datetime], calls: Lately
) -> dict[str, object]:
    return {
        **destination._asdict(),
        "last_minute": calls.minute,
        "last_hour": calls.hour,
        "last_day": calls.day,
        "hours": [iso(hour) for hour in hours],
    }


def iso(moment: datetime | None) -> str | None:
    """Return a moment as JSON documents have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
