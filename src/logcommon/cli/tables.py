"""Rows as tables, and hours in words. Every piece of logged text passes through `visible_text`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Column, Table
from rich.text import Text

from logcommon.cli.output import WHOLE_LINES, visible_text
from logcommon.model import Change, CommonRow, Destination, RecentRow, Window
from logcommon.read.exposure import Lately

_STYLES = {
    "debug": "dim",
    "info": "green",
    "warning": "yellow",
    "error": "red",
    "critical": "bold red",
}
CHANGE_STYLES = {
    "new": "bold magenta",
    "back": "magenta",
    "rising": "red",
    "falling": "green",
    "gone": "cyan",
    "steady": "dim",
}
_BAR_WIDTH = 10
_SEVERITY_WIDTH = len("critical")
_MERGED_SHOWN = 10
_IN_TENTHS = 10
"""Rates below this are shown with a decimal."""
_HOUR = timedelta(hours=1)
_IN_HOURS, _IN_DAYS = 48, 730
"""Ages below these are shown in hours, and in days."""


def common_table(console: Console, rows: Sequence[CommonRow], *, with_name: bool) -> Table:
    """Return a table of common messages; each bar is relative to the most common message."""
    table = new_table(Column("count", justify="right"), Column("", width=_BAR_WIDTH))
    add_columns(table, "severity", *(["service"] if with_name else []), "message")

    # Another program may have stored a score of 0 or below.
    most = max([1, *(row.count for row in rows)])
    for row in rows:
        table.add_row(
            f"{row.count:,}",
            _bar(console, row.count / most),
            severity_text(row.destination),
            *([visible_text(row.destination.name)] if with_name else []),
            message_text(console, row.message),
        )
    return table


def details_of(console: Console, row: CommonRow) -> Iterator[tuple[Text, Text]]:
    """Yield the lines below a message: its example, and what was merged into it."""
    if row.example is not None:
        yield Text(), Text.assemble("e.g. ", message_text(console, row.example), style="dim")
    for each in row.merged[:_MERGED_SHOWN]:
        yield Text(f"{each.count:,}", style="dim"), message_text(console, each.message)
    if len(row.merged) > _MERGED_SHOWN:
        yield Text(), Text(f"and {len(row.merged) - _MERGED_SHOWN:,} more", style="dim")


def change_table(
    console: Console, rows: Sequence[Change], *, with_name: bool, with_details: bool = False
) -> Table:
    """Return a table of changes, in the order given; with details, an example follows each."""
    right = (Column(each, justify="right") for each in ("at least", "before/h", "now/h"))
    table = new_table(Column("change"), *right)
    add_columns(table, "severity", *(["service"] if with_name else []), "message")

    for row in rows:
        table.add_row(
            Text(row.kind, style=CHANGE_STYLES[row.kind]),
            f"{row.at_least:,.1f}×" if row.at_least > 1 else "",  # noqa: RUF001  # as printed
            _rate(row.rate_before),
            _rate(row.rate_after),
            severity_text(row.destination),
            *([visible_text(row.destination.name)] if with_name else []),
            muted_text(message_text(console, row.message), is_muted=row.muted),
        )
        if with_details and row.example is not None:
            example = Text.assemble("e.g. ", message_text(console, row.example), style="dim")
            table.add_row(*[""] * (5 + with_name), example)
    return table


def describe_window(window: Window, moment: datetime) -> str:
    """Return a window of a comparison in words, as what it is compared with."""
    newest, oldest = window.hours[0], window.hours[-1]
    if newest != oldest:
        end = newest + _HOUR
        return f"{len(window.hours)} hours from {oldest:%Y-%m-%d %H}:00 to {end:%Y-%m-%d %H}:00 UTC"
    passed = round(window.seconds / 60)
    part = f", {passed} of 60 minutes" if passed < 60 else ""
    return describe_hour(newest, moment) + part


def recent_table(
    console: Console, rows: Sequence[RecentRow], moment: datetime, *, with_name: bool
) -> Table:
    """Return a table of recent messages, in the order given; `moment` is the time now."""
    table = new_table(Column("time"))
    add_columns(table, "severity", *(["service"] if with_name else []), "message")

    times = [row.time for row in rows if row.time is not None]
    are_of_today = all(time.date() == moment.date() for time in times)
    style = "%H:%M:%S" if are_of_today else "%Y-%m-%d %H:%M:%S"
    for row in rows:
        table.add_row(
            "" if row.time is None else row.time.strftime(style),
            severity_text(row.destination),
            *([visible_text(row.destination.name)] if with_name else []),
            message_text(console, row.message),
        )
    return table


def print_recent(console: Console, row: RecentRow, *, with_name: bool) -> None:
    """Print a recent message on a line of its own."""
    time = "" if row.time is None else f"{row.time:%Y-%m-%d %H:%M:%S}"
    severity = severity_text(row.destination)
    severity.pad_right(max(0, _SEVERITY_WIDTH - len(severity)))
    line = Text.assemble(f"{time:19} ", severity, " ")
    if with_name:
        line.append_text(visible_text(row.destination.name)).append(" ")
    line.append_text(message_text(console, row.message))
    console.print(line, soft_wrap=True)


def plain_table(*headers: str) -> Table:
    """Return an empty table with these headers."""
    table = new_table()
    add_columns(table, *headers)
    return table


def destination_table(
    held: Mapping[Destination, tuple[Sequence[datetime], Lately]], moment: datetime
) -> Table:
    """Return a table of destinations, their hours, newest first, and their calls of late.

    Args:
        held: The destinations.
        moment: The time now.

    """
    table = new_table()
    add_columns(table, "service", "severity")
    for lately in ("1 min", "1 h", "24 h"):
        table.add_column(lately, justify="right", no_wrap=True)
    add_columns(table, "newest hour", "hours kept")

    for destination, (hours, calls) in held.items():
        table.add_row(
            visible_text(destination.name),
            severity_text(destination),
            *(f"{each:,}" for each in calls),
            describe_age(hours[0], moment) if hours else "no counts",
            f"{len(hours):,}",
        )
    return table


def describe_hour(hour: datetime, moment: datetime) -> str:
    """Return an hour and its age in words, so that an old one is never taken for this one."""
    return (
        f"{hour:%Y-%m-%d %H}:00 to {(hour.hour + 1) % 24:02}:00 UTC, {describe_age(hour, moment)}"
    )


def describe_age(hour: datetime, moment: datetime) -> str:
    """Return in words how many hours before that of `moment` an hour is."""
    age = hours_ago(hour, moment)
    if age < 0:
        return f"{-age} h ahead of this computer's clock"
    if age < _IN_HOURS:
        return {0: "the current hour", 1: "the last hour"}.get(age, f"{age} hours ago")
    days = age // 24
    return f"{days} days ago" if days < _IN_DAYS else f"{days // 365} years ago"


def hours_ago(hour: datetime, moment: datetime) -> int:
    """Return how many hours before that of `moment` an hour is, given its first moment."""
    return (moment - hour) // _HOUR


def print_titled(console: Console, title: str, table: Table) -> None:
    """Print a table under its title, which may be wider than the table.

    No line ends in spaces. Without a terminal, a column is not padded to its longest message, and
    the rule is as long as the header.
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


def new_table(*columns: Column) -> Table:
    """Return an empty table whose rows stay on one line, in the style of all tables."""
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


def add_columns(table: Table, *headers: str) -> None:
    """Add columns of text, which give way if a terminal is narrow."""
    for header in headers:
        table.add_column(header, overflow="fold")


def _bar(console: Console, share: float) -> Text:
    mark = "-" if console.options.ascii_only else "━"
    return Text(mark * max(1, round(share * _BAR_WIDTH)), style="magenta")


def _rate(rate: float) -> str:
    return f"{rate:,.1f}" if 0 < rate < _IN_TENTHS else f"{rate:,.0f}"


def severity_text(destination: Destination) -> Text:
    """Return a severity in its colour."""
    text = visible_text(destination.severity)
    text.stylize(_STYLES.get(destination.severity, ""))
    return text


def muted_text(text: Text, *, is_muted: bool) -> Text:
    """Return the text of a message; of a muted one it says so."""
    return Text.assemble("muted: ", text, style="dim") if is_muted else text


def message_text(console: Console, message: str) -> Text:
    """Return a message as it is shown: visible, and short enough for two lines."""
    if not message:
        return Text("(empty)", style="dim italic")
    # A message may have a thousand characters; two lines are enough to recognize it.
    return visible_text(message, longest=2 * console.width)
