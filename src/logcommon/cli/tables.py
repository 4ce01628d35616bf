"""Rows become tables. Every piece of logged text passes through `safe`."""

from collections.abc import Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Column, Table
from rich.text import Text

from logcommon.cli.find import Common, Held, Recent
from logcommon.cli.hours import describe_age
from logcommon.cli.safe import visible_text
from logcommon.cli.terminal import WHOLE_LINES
from logcommon.model import Destination

_STYLES = {
    "debug": "dim",
    "info": "green",
    "warning": "yellow",
    "error": "red",
    "critical": "bold red",
}
_BAR_WIDTH = 10


def common_table(console: Console, found: Sequence[Common], *, with_name: bool) -> Table:
    """Return a table of common messages; the bar is relative to the most common one."""
    table = _table(Column("count", justify="right"), Column("", width=_BAR_WIDTH))
    _add_columns(table, "severity", *(["service"] if with_name else []), "message")
    most = max([1, *(each.row.count for each in found)])  # a foreign score may be below
    for each in found:
        table.add_row(
            f"{each.row.count:,}",
            _bar(console, each.row.count / most),
            _severity(each.destination),
            *([visible_text(each.destination.name)] if with_name else []),
            _message(console, each.row.message),
        )
    return table


def recent_table(
    console: Console, found: Sequence[Recent], moment: datetime, *, with_name: bool
) -> Table:
    """Return a table of recent messages, in the order given."""
    table = _table(Column("time"))
    _add_columns(table, "severity", *(["service"] if with_name else []), "message")
    times = [each.row.time for each in found if each.row.time is not None]
    style = "%H:%M:%S" if all(it.date() == moment.date() for it in times) else "%Y-%m-%d %H:%M:%S"
    for each in found:
        table.add_row(
            "" if each.row.time is None else each.row.time.strftime(style),
            _severity(each.destination),
            *([visible_text(each.destination.name)] if with_name else []),
            _message(console, each.row.message),
        )
    return table


def destination_table(held: Sequence[Held], moment: datetime) -> Table:
    """Return a table of destinations."""
    table = _table()
    _add_columns(table, "service", "severity", "newest hour", "hours kept")
    for each in held:
        table.add_row(
            visible_text(each.destination.name),
            _severity(each.destination),
            describe_age(each.hours[0], moment) if each.hours else "no counts",
            f"{len(each.hours):,}",
        )
    return table


def print_titled(console: Console, title: str, table: Table) -> None:
    """Print a table under its title, which is not confined to the table's width.

    No line has spaces at its end. If there is no terminal, a column is not padded to its longest
    message, and the rule is as long as the header.
    """
    text = visible_text(title)
    text.stylize("bold")
    console.print(text)

    lines = [_stripped(line) for line in console.render_lines(table, pad=False)]
    if console.width >= WHOLE_LINES and len(lines) > 1:
        lines[1] = Segment.adjust_line_length(lines[1], Segment.get_line_length(lines[0]))
    for line in lines:
        console.print(Segments([*line, Segment.line()]), end="", soft_wrap=True)


def _stripped(line: list[Segment]) -> list[Segment]:
    """Return a line without the spaces at its end."""
    line = list(line)
    while line and not line[-1].text.rstrip(" "):
        line.pop()
    if line:
        line[-1] = Segment(line[-1].text.rstrip(" "), line[-1].style)
    return line


def _table(*columns: Column) -> Table:
    for column in columns:
        column.no_wrap = True
    return Table(
        *columns,
        box=box.SIMPLE_HEAD,
        show_edge=False,
        header_style="dim",
        border_style="dim",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _add_columns(table: Table, *headers: str) -> None:
    for header in headers:
        table.add_column(header, overflow="fold")


def _bar(console: Console, share: float) -> Text:
    mark = "-" if console.options.ascii_only else "━"
    return Text(mark * max(1, round(share * _BAR_WIDTH)), style="magenta")


def _severity(destination: Destination) -> Text:
    text = visible_text(destination.severity)
    text.stylize(_STYLES.get(destination.severity, ""))
    return text


def _message(console: Console, message: str) -> Text:
    if not message:
        return Text("(empty)", style="dim italic")
    # A message may have a thousand letters; two lines of them tell it from any other.
    return visible_text(message, longest=2 * console.width)
