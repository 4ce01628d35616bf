"""The commands that read: `top`, `recent` and `destinations`."""

from datetime import datetime

import click

from logcommon.cli.find import (
    Common,
    Held,
    Recent,
    choose,
    hours_held,
    most_common,
    most_recent,
    newest_hour,
)
from logcommon.cli.hours import HourType, describe_hour, now
from logcommon.cli.options import count_option, json_option, severity_option, url_option
from logcommon.cli.safe import visible
from logcommon.cli.stop import run_or_raise
from logcommon.cli.tables import common_table, destination_table, print_titled, recent_table
from logcommon.cli.terminal import print_json, result_console
from logcommon.client import connect
from logcommon.model import severity_name


@click.command()
@click.argument("name", required=False)
@severity_option
@count_option(10)
@click.option(
    "--hour",
    type=HourType(),
    help="current, last, or one like 2026-11-23T21 (UTC); by default the newest that has data.",
)
@json_option
@url_option
def top(
    name: str | None,
    severity: str | None,
    count: int,
    hour: datetime | None,
    as_json: bool,  # noqa: FBT001
    url: str,
) -> None:
    """Show the most common messages of an hour.

    Of the service NAME, or of all of them together.
    """
    shown, found = run_or_raise(_top(url, name, severity, count, hour))
    if as_json:
        print_json([_common_json(shown, each) for each in found])
    elif shown is None or not found:
        _say_nothing_found(name, severity, shown)
    else:
        console = result_console()
        title = f"{_whose(name, severity)}: {describe_hour(shown, now())}"
        print_titled(console, title, common_table(console, found, with_name=name is None))


@click.command()
@click.argument("name", required=False)
@severity_option
@count_option(20)
@json_option
@url_option
def recent(
    name: str | None,
    severity: str | None,
    count: int,
    as_json: bool,  # noqa: FBT001
    url: str,
) -> None:
    """Show the newest messages, newest first.

    Of the service NAME, or of all of them together. Times are whole seconds; within one, the order
    of messages of different severities or services is not known.
    """
    found = run_or_raise(_recent(url, name, severity, count))
    if as_json:
        print_json([_recent_json(each) for each in found])
    elif not found:
        _say_nothing_found(name, severity, None)
    else:
        console = result_console()
        title = f"{_whose(name, severity)}: newest first, times in UTC"
        table = recent_table(console, found, now(), with_name=name is None)
        print_titled(console, title, table)


@click.command()
@json_option
@url_option
def destinations(
    as_json: bool,  # noqa: FBT001
    url: str,
) -> None:
    """Show the services and severities there are."""
    held = run_or_raise(_destinations(url))
    if as_json:
        print_json([_held_json(each) for each in held])
    elif not held:
        _say_nothing_found(None, None, None)
    else:
        print_titled(result_console(), "Destinations", destination_table(held, now()))


async def _top(
    url: str, name: str | None, severity: str | None, count: int, hour: datetime | None
) -> tuple[datetime | None, list[Common]]:
    async with connect(url) as log:
        chosen = await choose(log, name, severity)
        hour = hour or await newest_hour(log, chosen)
        return hour, [] if hour is None else await most_common(log, chosen, count, hour)


async def _recent(url: str, name: str | None, severity: str | None, count: int) -> list[Recent]:
    async with connect(url) as log:
        return await most_recent(log, await choose(log, name, severity), count)


async def _destinations(url: str) -> list[Held]:
    async with connect(url) as log:
        return await hours_held(log)


def _whose(name: str | None, severity: str | None) -> str:
    parts = ("All services" if name is None else name, severity and severity_name(severity))
    return " · ".join(filter(None, parts))


def _say_nothing_found(name: str | None, severity: str | None, hour: datetime | None) -> None:
    when = "" if hour is None else f" in {describe_hour(hour, now())}"
    hint = " Begin with: logcommon demo" if (name, severity, hour) == (None, None, None) else ""
    text = f"{_whose(name, severity)}: nothing was logged{when}.{hint}"
    result_console().print(visible(text), soft_wrap=True)


def _common_json(hour: datetime | None, each: Common) -> dict[str, object]:
    return {
        "name": each.destination.name,
        "severity": each.destination.severity,
        "hour": _iso(hour),
        "count": each.row.count,
        "message": each.row.message,
    }


def _recent_json(each: Recent) -> dict[str, object]:
    return {
        "name": each.destination.name,
        "severity": each.destination.severity,
        "time": _iso(each.row.time),
        "message": each.row.message,
    }


def _held_json(each: Held) -> dict[str, object]:
    return {
        "name": each.destination.name,
        "severity": each.destination.severity,
        "hours": [_iso(hour) for hour in each.hours],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
