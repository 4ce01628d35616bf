"""The command `top`: the most common messages of an hour, and how they have developed."""

from datetime import UTC, datetime

import click
from rich.table import Table

from logcommon.cli.failures import ExitCode
from logcommon.cli.live import SHORTEST_INTERVAL, Read, watch
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
from logcommon.cli.top_table import top_table
from logcommon.cli.view import View
from logcommon.client import CommonLog, connect
from logcommon.model import Summary, SummaryRow
from logcommon.read.summary import Order


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
    by: Order,
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

    async def read(log: CommonLog, view: View) -> Summary | None:
        return await log.summary(name, view.severity, count, hour, by=view.by, merge=merge)

    def draw(found: Summary, view: View) -> tuple[str, Table]:
        title = f"{whose(name, view.severity)}: {describe_hour(found.hour, datetime.now(UTC))}"
        with_size = view.by == "bytes"
        return title, top_table(
            console, found.rows, with_name=name is None, with_size=with_size, with_details=details
        )

    if interval is not None:
        if output:
            raise click.UsageError("--watch shows a table only")
        return watch(console, url, interval, view, read, draw)

    found = run_or_raise(_read_once(url, read, name, view))
    if output:
        print_rows(output, [_json(found.hour, each) for each in found.rows] if found else [])
    elif found is None or not found.rows:
        say_nothing_found(name, severity, found.hour if found else None)
    else:
        print_titled(console, *draw(found, view))
    return ExitCode.OK


async def _read_once(url: str, read: Read, name: str | None, view: View) -> Summary | None:
    async with connect(url) as log:
        found = await read(log, view)
        if found is None or not found.rows:
            await require_known(log, name, view.severity)
        return found


def _json(hour: datetime, each: SummaryRow) -> dict[str, object]:
    row, change = each.row, each.change
    return {
        **row.destination._asdict(),
        "hour": iso(hour),
        "count": row.count,
        "message": row.message,
        "share": each.share,
        "per_minute": each.per_minute,
        "bytes": row.size,
        "change": None if change is None else change.kind,
        "at_least": None if change is None else change.at_least,
        "history": list(each.history),
        "muted": row.muted,
        "example": row.example,
        "merged": [{"count": each.count, "message": each.message} for each in row.merged],
    }
