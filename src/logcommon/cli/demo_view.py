"""Shows the demo's progress and its result."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from logcommon.cli.output import progress_console
from logcommon.cli.shop import NAME, Shop
from logcommon.cli.tables import common_table, describe_hour, print_titled, recent_table
from logcommon.model import CommonRow, RecentRow
from logcommon.stats import Stats


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo logged, and what was counted."""

    calls: int
    counted: int
    elapsed: float
    tasks: int
    stats: Stats
    moment: datetime
    """When it was read."""
    recent: Sequence[RecentRow]
    common: Mapping[datetime, Sequence[CommonRow]]
    """For the current hour and the one before it."""

    @property
    def is_exact(self) -> bool:
        """Whether Redis has counted every call, and nothing else."""
        return self.calls == self.counted


@contextmanager
def live_view(shop: Shop) -> Iterator[None]:
    """Show the shop's progress while it is open, if there is a terminal."""
    console = progress_console()
    if not console.is_terminal:
        yield
        return
    with Live(get_renderable=lambda: _progress(shop), console=console, transient=True):
        yield


def show(console: Console, result: DemoResult, *, url_hint: str) -> None:
    """Print the result."""
    table = recent_table(console, result.recent, result.moment, with_name=False)
    print_titled(console, "Recent: newest first, times in UTC", table)

    titles = ("Common now", "Common before")
    for title, (hour, rows) in zip(titles, result.common.items(), strict=True):
        console.print()
        table = common_table(console, rows, with_name=False)
        print_titled(console, f"{title}: {describe_hour(hour, result.moment)}", table)

    console.print()
    console.print(_summary(result))
    console.print(Text("\nTry next:", style="bold"))
    for command in (f"top {NAME} --hour last", f"recent {NAME} --severity error", "serve"):
        console.print(f"  logcommon {command}{url_hint}")
    console.print(f"  logcommon ingest FILE --name NAME{url_hint}")


def _summary(result: DemoResult) -> Panel:
    stats, calls = result.stats, max(result.calls, 1)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(justify="right", style="bold")
    facts.add_column()

    facts.add_row(f"{result.calls:,}", f"calls from {result.tasks:,} tasks at once")
    facts.add_row(
        f"{result.calls / result.elapsed:,.0f}", f"calls a second, for {result.elapsed:.1f} s"
    )
    facts.add_row(
        f"{stats.commands * 1000 / calls:,.1f}", "commands sent to the server per 1,000 calls"
    )
    facts.add_row(f"{stats.commits:,}", "commits")
    facts.add_row(*_proof(result))

    return Panel(facts, title=NAME, box=box.ROUNDED, border_style="dim", expand=False)


def _proof(result: DemoResult) -> tuple[Text, Text]:
    counts = f"{result.calls:,} calls, {result.counted:,} counted"
    if result.is_exact:
        return Text("exact:", style="bold green"), Text(counts, style="green")
    return Text("NOT EXACT:", style="bold red"), Text(counts, style="bold red")


def _progress(shop: Shop) -> RenderableType:
    line = Table.grid(padding=(0, 2))
    line.add_row(
        ProgressBar(total=1, completed=shop.share_done, width=24),
        f"{shop.calls:,} calls",
        Text("the hour has turned" if shop.hour_has_turned else "the shop is open", style="dim"),
    )
    return line
