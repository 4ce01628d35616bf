"""The page of a report, as HTML: nothing that was logged is more than text in it. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from logcommon.cli.output import visible
from logcommon.cli.tables import describe_window
from logcommon.model import Change, CommonRow, Comparison, Destination, Mark, Summary, SummaryRow

_SPARKLINE_WIDTH, _SPARKLINE_HEIGHT = 120, 22
_LONGEST = 2_000
_DAY = timedelta(days=1)

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --bar: #6b7fd7; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2.5rem auto; max-width: 75rem; }
body { padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
p { color: var(--quiet); margin: .25rem 0; }
table { border-collapse: collapse; width: 100%; }
th { color: var(--quiet); font-weight: 500; text-align: left; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .7rem .35rem 0; }
td { vertical-align: top; }
td.number, th.number { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
td.message { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; width: 99%; }
td.message small { color: var(--quiet); display: block; font-size: 12px; margin-top: .1rem; }
td.kind, td.severity { white-space: nowrap; }
.new, .back { color: #b04ac0; font-weight: 600; } .rising { color: #d33; font-weight: 600; }
.falling { color: #2a8f4d; } .gone { color: #1b8aa5; } .warning { color: #b98900; }
.error, .critical { color: #d33; } .critical { font-weight: 700; } .debug { color: var(--quiet); }
svg { display: block; } rect { fill: var(--bar); }
""".strip()
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the page shows of an hour."""

    title: str
    written: datetime
    summary: Summary
    comparison: Comparison
    marks: Sequence[Mark]


def page_of(report: Report) -> str:
    """Return the page: one HTML document that needs nothing else, without scripts."""
    found, shown = report.comparison, report.summary
    changes = [change for change in found.changes if change.kind != "steady"]
    with_name = len({each.row.destination.name for each in report.summary.rows}) > 1
    window = describe_window(found.after, report.written)
    body = [
        f"<h1>{_text(report.title)}</h1>",
        f"<p>{_text(window)} · {shown.calls:,} calls of {shown.messages:,} messages</p>",
        *_marks(report),
        "<h2>What has changed</h2>",
        f"<p>Compared with {_text(describe_window(found.before, report.written))}</p>",
        _changes_table(changes, with_name=with_name) if changes else "<p>Nothing.</p>",
        "<h2>Most common messages</h2>",
        _top_table(report.summary.rows, with_name=with_name),
        f"<p>Written by logcommon at {report.written:%Y-%m-%d %H:%M:%S} UTC</p>",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(report.title)}, {_text(window)}</title>",
            f"<style>{_STYLE}</style>",
            *body,
            "</html>",
            "",
        ]
    )


def _marks(report: Report) -> Iterable[str]:
    """Yield the marks of the last day before the end of the window."""
    newest = report.comparison.after.hours[0]
    for mark in report.marks:
        if newest - _DAY < mark.time < newest + timedelta(hours=1):
            yield f"<p>Marked at {mark.time:%Y-%m-%d %H:%M} UTC: <b>{_text(mark.text)}</b></p>"


def _changes_table(changes: Iterable[Change], *, with_name: bool) -> str:
    rows = (
        [
            _cell(change.kind, f"kind {change.kind}"),
            _cell(f"{change.at_least:,.1f}×" if change.at_least > 1 else "", "number"),  # noqa: RUF001
            _cell(f"{change.rate_before:,.0f}", "number"),
            _cell(f"{change.rate_after:,.0f}", "number"),
            *_where(change.destination, with_name=with_name),
            _message_cell(change),
        ]
        for change in changes
    )
    headers = ("change", "at least#", "before/h#", "now/h#")
    return _table((*headers, *_where_headers(with_name=with_name), "message"), rows)


def _top_table(top: Iterable[SummaryRow], *, with_name: bool) -> str:
    rows = (
        [
            _cell(f"{each.row.count:,}", "number"),
            _cell(f"{each.share:.0%}", "number"),
            _cell(f"{each.per_minute:,.1f}", "number"),
            f"<td>{_sparkline(each.history)}</td>",
            *_where(each.row.destination, with_name=with_name),
            _message_cell(each.row),
        ]
        for each in top
    )
    headers = ("count#", "share#", "per minute#", "24 hours")
    return _table((*headers, *_where_headers(with_name=with_name), "message"), rows)


def _where_headers(*, with_name: bool) -> tuple[str, ...]:
    return ("severity", "service") if with_name else ("severity",)


def _where(destination: Destination, *, with_name: bool) -> list[str]:
    known = destination.severity if destination.severity.isalpha() else ""
    severity = _cell(destination.severity, f"severity {known}".strip())
    return [severity, _cell(destination.name)] if with_name else [severity]


def _table(headers: Iterable[str], rows: Iterable[list[str]]) -> str:
    """Return a table; a header that ends in `#` is of numbers."""
    head = "".join(
        f'<th class="number">{header[:-1]}</th>' if header.endswith("#") else f"<th>{header}</th>"
        for header in headers
    )
    lines = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f"<table>\n<tr>{head}</tr>\n{lines}\n</table>"


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{escape(kind)}">{_text(text)}</td>' if kind else f"<td>{_text(text)}</td>"


def _message_cell(row: Change | CommonRow) -> str:
    more = "" if row.example is None else f"<small>{_text(row.example)}</small>"
    muted = "<small>muted</small>" if row.muted else ""
    return f'<td class="message">{_text(row.message) or "(empty)"}{more}{muted}</td>'


def _text(text: str) -> str:
    """Return logged text as HTML, in which nothing acts: neither markup nor control characters."""
    return escape(visible(text[:_LONGEST]))


def _sparkline(counts: Sequence[int]) -> str:
    """Return a picture of bars, each as high as its share of the largest count."""
    most, width = max(1, *counts), _SPARKLINE_WIDTH / max(1, len(counts))
    bars = []
    for position, count in enumerate(counts):
        height = max(0, count) / most * _SPARKLINE_HEIGHT
        if count > 0:
            height = max(1.0, height)
            bars.append(
                f'<rect x="{position * width:.1f}" y="{_SPARKLINE_HEIGHT - height:.1f}" '
                f'width="{width - 1:.1f}" height="{height:.1f}"/>'
            )
    label = f"at most {most:,} in an hour"
    size = f'width="{_SPARKLINE_WIDTH}" height="{_SPARKLINE_HEIGHT}"'
    return (
        f'<svg {size} role="img" aria-label="{label}"><title>{label}</title>{"".join(bars)}</svg>'
    )
