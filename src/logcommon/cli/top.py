"""The command `top`: the most common messages of an hour, and how they have developed."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.table import Table

from logcommon.cli.failures import ExitCode
from logcommon.cli.live import SHORTEST_INTERVAL, Hourly, Read, watch
from logcommon.cli.options import (
    count_option,
    hour_option,
    merge_option,
    output_option,
    severity_option,
    url_option,
)
from logcommon.cli.output import print_rows, result_console
from logcommon.cli.show import iso, require_known, say_nothing_found, whose
from logcommon.cli.signals import run_or_raise
from logcommon.cli.tables import describe_hour, print_titled
from logcommon.cli.top_table import TopRow, top_table
from logcommon.cli.view import View
from logcommon.client import CommonLog, connect
from logcommon.model import CommonRow, Series, hour_of
from logcommon.read.compare import change_in
from logcommon.read.windows import windows_of

ALL_ROWS = 10_000
"""Rows that are read, to know their share and to sort them by bytes."""

_HOURS_SHOWN = 24


@click.command()
@click.argument("name", required=False)
@severity_option
@count_option(10)
@hour_option
@click.option(
    "--by",
    type=click.Choice(["count", "bytes"]),
    default="count",
    show_default=True,
    help="Sort by how often messages are logged, or by how many bytes their lines take.",
)
@click.option("--details", "--examples", is_flag=True, help="Show an example, and what was merged.")
@click.option(
    "--watch",
    "interval",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(min=SHORTEST_INTERVAL),
    metavar="[SECONDS]",
    help="Go on showing it until Ctrl-C, and look so often; keys choose the severity, sort and "
    "pause.  [without SECONDS: 2]",
)
@merge_option
@output_option
@url_option
def top(
    name: str | None,
    severity: str | None,
    count: int,
    hour: datetime | None,
    by: str,
    details: bool,  # noqa: FBT001
    interval: float | None,
    merge: bool | None,  # noqa: FBT001
    output: str | None,
    url: str,
) -> int:
    """Show the most common messages of an hour.

    With each come its share of all calls, its rate, its change compared with the hour before, and
    the last 24 hours. Without NAME, the messages of all services are ranked together.

    \b
    Examples:
      logcommon top shop
      logcommon top shop --severity error --hour last
      logcommon top --by bytes -n 20
      logcommon top shop --watch
    """  # noqa: D301  # click's mark for lines to keep
    console = result_console()

    view = View(severity, by)

    async def read(log: CommonLog, view: View) -> Hourly:
        return await _read(log, name, view.severity, count, hour, by=view.by, merge=merge)

    def draw(shown: datetime, rows: Sequence[TopRow], view: View) -> tuple[str, Table]:
        title = f"{whose(name, view.severity)}: {describe_hour(shown, datetime.now(UTC))}"
        with_size = view.by == "bytes"
        return title, top_table(
            console, rows, with_name=name is None, with_size=with_size, with_details=details
        )

    if interval is not None:
        if output:
            raise click.UsageError("--watch shows a table only")
        return watch(console, url, interval, view, read, draw)

    shown, rows = run_or_raise(_read_once(url, read, name, view))
    if output:
        print_rows(output, [_json(shown, each) for each in rows])
    elif shown is None or not rows:
        say_nothing_found(name, severity, shown)
    else:
        print_titled(console, *draw(shown, rows, view))
    return ExitCode.OK


async def _read_once(url: str, read: Read, name: str | None, view: View) -> Hourly:
    async with connect(url) as log:
        found = await read(log, view)
        if not found.rows:
            await require_known(log, name, view.severity)
        return found


async def _read(
    log: CommonLog,
    name: str | None,
    severity: str | None,
    count: int,
    hour: datetime | None,
    *,
    by: str,
    merge: bool | None,
) -> Hourly:
    """Return the hour that is shown, by default the newest with counts, and its rows."""
    hour = hour or next(iter(await log.hours(name, severity)), None)
    if hour is None:
        return Hourly(None, [])
    rows = await log.top(name, severity, ALL_ROWS, hour, merge=merge)
    return Hourly(hour, await described(log, rows, hour, count, by=by))


async def described(
    log: CommonLog, rows: list[CommonRow], hour: datetime, count: int, *, by: str = "count"
) -> list[TopRow]:
    """Return the first rows, of all that an hour has, with what else is known of them."""
    total = sum(row.count for row in rows)
    if by == "bytes":
        rows = sorted(
            rows, key=lambda row: -row.count * len(row.message.encode("utf-8", "replace"))
        )
    histories = await log.histories(rows[:count])
    now = log.settings.clock()
    return [
        _described(row, history, hour, total, now)
        for row, history in zip(rows, histories, strict=False)
    ]


def _described(row: CommonRow, history: Series, hour: datetime, total: int, now: float) -> TopRow:
    windows = windows_of([hour_of(each.timestamp()) for each in history.counts], now, hour, None)
    by_hour = {hour_of(each.timestamp()): count for each, count in history.counts.items()}
    newest = hour_of(hour.timestamp())
    return TopRow(
        row,
        share=row.count / max(total, 1),
        per_minute=row.count / windows.after_hours / 60,
        change=change_in(by_hour, row.message, row.destination, windows),
        history=tuple(by_hour.get(newest - age, 0) for age in range(_HOURS_SHOWN - 1, -1, -1)),
    )


def _json(hour: datetime | None, each: TopRow) -> dict[str, object]:
    row, change = each.row, each.change
    return {
        **row.destination._asdict(),
        "hour": iso(hour),
        "count": row.count,
        "message": row.message,
        "share": each.share,
        "per_minute": each.per_minute,
        "bytes": each.size,
        "change": None if change is None else change.kind,
        "at_least": None if change is None else change.at_least,
        "history": list(each.history),
        "muted": row.muted,
        "example": row.example,
        "merged": [{"count": each.count, "message": each.message} for each in row.merged],
    }
