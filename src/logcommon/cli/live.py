"""A table that stays on the terminal, and is drawn again whenever something has changed."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import click
from rich.console import Console, Group
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from logcommon.cli.output import visible_text
from logcommon.cli.signals import Stop, end_code, run
from logcommon.cli.view import HINT, View, keys_pressed
from logcommon.client import CommonLog, connect
from logcommon.exceptions import ServerUnavailableError
from logcommon.model import STANDARD_SEVERITIES, Summary

SHORTEST_INTERVAL = 0.25
"""Seconds between two looks at least, so that a terminal is drawn four times a second at most."""


Read: TypeAlias = Callable[[CommonLog, View], Awaitable[Summary | None]]
"""Reads the rows of a view."""

Draw: TypeAlias = Callable[[Summary, View], tuple[str, Table]]
"""Returns a title and a table."""


def watch(console: Console, url: str, interval: float, view: View, read: Read, draw: Draw) -> int:
    """Show what `read` returns, until a signal comes; return the exit code.

    Args:
        console: The terminal.
        url: The server.
        interval: Seconds between two looks.
        view: What to show at first.
        read: Reads the rows.
        draw: Returns a title and a table.

    Raises:
        UsageError: Standard output is not a terminal.

    """
    if not console.is_terminal:
        raise click.UsageError("--watch needs a terminal")
    return run(lambda stop: _watch(stop, console, url, interval, view, read, draw))


async def _watch(
    stop: Stop, console: Console, url: str, interval: float, view: View, read: Read, draw: Draw
) -> int:
    severities: tuple[str, ...] = ()

    def press(key: str) -> None:
        if key == "q":
            stop.scope.cancel()
        view.press(key, severities)

    async with connect(url) as log:
        found = await read(log, view)  # without a server this fails before the screen is changed
        live = Live(console=console, screen=True, auto_refresh=False)
        with live, keys_pressed(press), stop.scope:
            drawn: list[list[Segment]] = []
            looked, trouble = time.monotonic(), ""
            while True:
                screen = _screen(found, trouble, view, draw)
                # Of another size as well, if that of the terminal has changed.
                if (lines := console.render_lines(screen)) != drawn:
                    live.update(screen, refresh=True)
                    drawn = lines
                await anyio.sleep(SHORTEST_INTERVAL)

                is_time = time.monotonic() - looked >= interval and not view.is_paused
                if is_time or view.has_changed:
                    looked, view.has_changed = time.monotonic(), False
                    try:
                        severities = await _severities(log)
                        found, trouble = await read(log, view), ""
                    except ServerUnavailableError as error:
                        trouble = str(error)
    return end_code(stop.signal)


async def _severities(log: CommonLog) -> tuple[str, ...]:
    """Return the severities that anything was logged with, the standard ones first."""
    used = {each.severity for each in await log.destinations()}
    standard = [each for each in STANDARD_SEVERITIES if each in used]
    return (*standard, *sorted(used.difference(standard)))


def _screen(found: Summary | None, trouble: str, view: View, draw: Draw) -> Group:
    """Return what the terminal shows: a title, a table, and what is wrong."""
    hint = Text(f"paused: {HINT}" if view.is_paused else HINT, style="dim")
    below = [Text(trouble, style="red")] if trouble else [hint]
    if found is None:
        return Group(Text("Nothing was logged yet."), *below)
    title, table = draw(found, view)
    text = visible_text(title)
    text.stylize("bold")
    return Group(text, table, *below)
