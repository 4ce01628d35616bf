"""What the demo shows: while it runs, and at its end."""

from collections.abc import Iterator, Sequence
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

from logcommon.cli.find import Common, Recent
from logcommon.cli.hours import HOUR, describe_hour, start_of_hour
from logcommon.cli.shop import NAME, Shop
from logcommon.cli.tables import common_table, print_titled, recent_table
from logcommon.cli.terminal import progress_console
from logcommon.stats import Stats


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo has found out."""

    calls: int
    counted: int
    elapsed: float
    tasks: int
    stats: Stats
    moment: datetime
    recent: Sequence[Recent]
    common: Sequence[Common]
    common_before: Sequence[Common]

    @property
    def is_exact(self) -> bool:
        """Whether Redis has counted every call, and nothing else."""
        return self.calls == self.counted


@contextmanager
def live_view(shop: Shop) -> Iterator[None]:
    """Show on a terminal how the shop is doing, for as long as it is open."""
    console = progress_console()
    if not console.is_terminal:
        yield
        return
    with Live(get_renderable=lambda: _progress(shop), console=console, transient=True):
        yield


def show(console: Console, result: DemoResult, *, url_hint: str) -> None:
    """Show the result as a person would want it."""
    this_hour, moment = start_of_hour(result.moment), result.moment
    table = recent_table(console, result.recent, moment, with_name=False)
    print_titled(console, "Recent: newest first, times in UTC", table)
    for title, found, hour in (
        ("Common now", result.common, this_hour),
        ("Common before", result.common_before, this_hour - HOUR),
    ):
        console.print()
        table = common_table(console, found, with_name=False)
        print_titled(console, f"{title}: {describe_hour(hour, moment)}", table)
    console.print()
    console.print(_summary(result))
    console.print(Text("\nTry next:", style="bold"))
    for command in (f"top {NAME} --hour last", f"recent {NAME} --severity error"):
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
