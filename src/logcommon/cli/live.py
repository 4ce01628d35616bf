"""A table that stays on the terminal, and is drawn again whenever something has changed."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import anyio
import click
from rich.console import Console, Group
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from logcommon.cli.output import visible_text
from logcommon.cli.signals import Stop, end_code, run
from logcommon.cli.top_table import TopRow
from logcommon.client import CommonLog, connect
from logcommon.exceptions import ServerUnavailableError

SHORTEST_INTERVAL = 0.25
"""Seconds between two looks at least, so that a terminal is drawn four times a second at most."""


class Hourly(NamedTuple):
    """An hour, None if there is none with counts, and its rows."""

    hour: datetime | None
    rows: Sequence[TopRow]


def watch(
    console: Console,
    url: str,
    interval: float,
    read: Callable[[CommonLog], Awaitable[Hourly]],
    draw: Callable[[datetime, Sequence[TopRow]], tuple[str, Table]],
) -> int:
    """Show what `read` returns, until a signal comes; return the exit code.

    Args:
        console: The terminal.
        url: The server.
        interval: Seconds between two looks.
        read: Reads the rows.
        draw: Returns a title and a table.

    Raises:
        UsageError: Standard output is not a terminal.

    """
    if not console.is_terminal:
        raise click.UsageError("--watch needs a terminal")
    return run(lambda stop: _watch(stop, console, url, interval, read, draw))


async def _watch(
    stop: Stop,
    console: Console,
    url: str,
    interval: float,
    read: Callable[[CommonLog], Awaitable[Hourly]],
    draw: Callable[[datetime, Sequence[TopRow]], tuple[str, Table]],
) -> int:
    async with connect(url) as log:
        found = await read(log)  # without a server this fails before the screen is changed
        with Live(console=console, screen=True, auto_refresh=False) as live, stop.scope:
            drawn: list[list[Segment]] = []
            looked, trouble = time.monotonic(), ""
            while True:
                screen = _screen(found, trouble, draw)
                # Of another size as well, if that of the terminal has changed.
                if (lines := console.render_lines(screen)) != drawn:
                    live.update(screen, refresh=True)
                    drawn = lines
                await anyio.sleep(SHORTEST_INTERVAL)

                if time.monotonic() - looked >= interval:
                    looked = time.monotonic()
                    try:
                        found, trouble = await read(log), ""
                    except ServerUnavailableError as error:
                        trouble = str(error)
    return end_code(stop.signal)


def _screen(
    found: Hourly,
    trouble: str,
    draw: Callable[[datetime, Sequence[TopRow]], tuple[str, Table]],
) -> Group:
    """Return what the terminal shows: a title, a table, and what is wrong."""
    warning = [Text(trouble, style="red")] if trouble else []
    if found.hour is None:
        return Group(Text("Nothing was logged yet."), *warning)
    title, table = draw(found.hour, found.rows)
    text = visible_text(title)
    text.stylize("bold")
    return Group(text, table, *warning)
