"""The command `report`: an hour as a page, to attach to an incident."""

from datetime import UTC, datetime
from pathlib import Path

import click

from logcommon.cli.options import (
    count_option,
    hour_option,
    merge_option,
    severity_option,
    url_option,
)
from logcommon.cli.output import note
from logcommon.cli.report_page import Report, page_of
from logcommon.cli.show import require_known, say_nothing_found, whose
from logcommon.cli.signals import run_or_raise
from logcommon.client import connect

_STDOUT = Path("-")
_CHANGES_READ = 200


@click.command()
@click.argument("name", required=False)
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write, or - for standard output.",
)
@severity_option
@count_option(50)
@hour_option
@merge_option
@url_option
def report(
    name: str | None,
    file: Path,
    severity: str | None,
    count: int,
    hour: datetime | None,
    merge: bool | None,  # noqa: FBT001
    url: str,
) -> None:
    """Write a page with the messages and changes of an hour, to attach to an incident.

    It is one HTML file without scripts, and needs nothing else. Without NAME, it has the messages
    of all services.

    \b
    Example:
      logcommon report shop --html shop.html
    """  # noqa: D301  # click's mark for lines to keep
    found = run_or_raise(_read(url, name, severity, count, hour, merge=merge))
    if found is None:
        say_nothing_found(name, severity, hour)
        return

    page = page_of(found)
    if file == _STDOUT:
        click.echo(page)
    else:
        file.write_text(page, encoding="utf-8")
        note(f"wrote {file}")


async def _read(
    url: str,
    name: str | None,
    severity: str | None,
    count: int,
    hour: datetime | None,
    *,
    merge: bool | None,
) -> Report | None:
    """Return what the page shows, None if nothing was logged in the hour."""
    async with connect(url) as log:
        found = await log.summary(name, severity, count, hour, merge=merge)
        if found is None or not found.rows:
            await require_known(log, name, severity)
            return None

        comparison = await log.compare(name, severity, _CHANGES_READ, after=found.hour, merge=merge)
        return Report(
            title=whose(name, severity),
            written=datetime.now(UTC),
            summary=found,
            comparison=comparison,
            marks=await log.marks(),
        )
