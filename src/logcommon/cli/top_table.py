"""The table of the most common messages, with their shares, changes and last 24 hours."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from logcommon.cli.output import visible_text
from logcommon.cli.tables import (
    CHANGE_STYLES,
    add_columns,
    details_of,
    message_text,
    muted_text,
    new_table,
    severity_text,
)
from logcommon.model import Change, SummaryRow

_WIDE = 110
"""Columns from which a terminal has room for more than the essential."""
_FEW_HOURS = 8
_BLOCKS, _ASCII_BLOCKS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
_UNITS = ("B", "kB", "MB", "GB", "TB")


def top_table(
    console: Console,
    rows: Sequence[SummaryRow],
    *,
    with_name: bool,
    with_size: bool = False,
    with_details: bool = False,
) -> Table:
    """Return a table of the most common messages; some columns only if the terminal is wide."""
    is_wide = console.width >= _WIDE
    numbers = ["count", "share", *(["/min"] if is_wide else []), *(["bytes"] if with_size else [])]
    texts = ["severity", *(["service"] if with_name else []), "message"]
    table = new_table(
        *(Column(each, justify="right") for each in numbers),
        Column("change"),
        Column("24 hours" if is_wide else f"{_FEW_HOURS} h"),
    )
    add_columns(table, *texts)

    for each in rows:
        row = each.row
        table.add_row(
            f"{row.count:,}",
            f"{each.share:.0%}",
            *([f"{each.per_minute:,.1f}"] if is_wide else []),
            *([_size(row.size)] if with_size else []),
            _change(each.change),
            Text(_sparkline(console, each.history if is_wide else each.history[-_FEW_HOURS:])),
            severity_text(row.destination),
            *([visible_text(row.destination.name)] if with_name else []),
            muted_text(message_text(console, row.message), is_muted=row.muted),
        )
        if with_details:
            for count, text in details_of(console, row):
                table.add_row(count, *[""] * (len(table.columns) - 2), text)
    return table


def _change(change: Change | None) -> Text:
    if change is None or change.kind == "steady":
        return Text()
    arrow = {"rising": "↑ ", "falling": "↓ "}.get(change.kind)
    words = change.kind if arrow is None else f"{arrow}{change.at_least:,.1f}×"  # noqa: RUF001
    return Text(words, style=CHANGE_STYLES[change.kind])


def _sparkline(console: Console, counts: Sequence[int]) -> str:
    """Return a bar for each count, relative to the largest; none only for none."""
    blocks = _ASCII_BLOCKS if console.options.ascii_only else _BLOCKS
    most = max(1, *counts)
    return "".join(blocks[-(-max(count, 0) * (len(blocks) - 1) // most)] for count in counts)


def _size(size: float) -> str:
    """Return bytes with a unit of a thousand times the one before."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:,.0f} {_UNITS[unit]}"
