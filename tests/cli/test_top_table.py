"""The table of the most common messages."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from logcommon.cli.tables import print_titled
from logcommon.cli.top_table import top_table
from logcommon.model import Change, CommonRow, Destination, SummaryRow, hour_start

DESTINATION = Destination("api", "error")
NASTY = "\x1b[2J[red]\u202e[/red] " + "very long " * 100
HISTORY = (*[0] * 22, 1, 800)


def changed(kind: str, at_least: float = 1.0) -> Change:
    noon = hour_start(400_000)
    return Change(kind, "m", DESTINATION, 1, 2, 1.0, 2.0, at_least, noon, noon)  # type: ignore[arg-type]


def row(count: int = 800, message: str = "m", change: Change | None = None) -> SummaryRow:
    return SummaryRow(CommonRow(count, message, DESTINATION), 0.5, count / 60, change, HISTORY)


def printed(width: int, rows: list[SummaryRow], *, encoding: str = "utf-8", **options: bool) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    console = Console(width=width, file=file, highlight=False, markup=False, emoji=False)
    print_titled(console, "api", top_table(console, rows, **({"with_name": True} | options)))
    file.seek(0)
    return file.read()


@pytest.mark.parametrize("width", [60, 80, 120, 10_000])
@pytest.mark.parametrize("message", [NASTY, "x" * 2000, "\u754c" * 2000])
def test_it_keeps_within_the_terminal(width: int, message: str) -> None:
    """No message makes a line too long or controls the terminal, and no number is cut."""
    rows = [row(1_234_567, message, changed("rising", 1234.5))]
    text = printed(width, rows, with_size=True, with_details=True)
    assert "".join(text.splitlines()).isprintable()
    assert max(map(cell_len, text.splitlines())) <= width
    for number in ("1,234,567", "50%", "1,234.5"):
        assert number in text
    assert ("20,576.1" in text) == (width >= 110)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (None, ""),
        (changed("steady"), ""),
        (changed("new", 9), "new"),
        (changed("back"), "back"),
        (changed("rising", 2.25), "\u2191 2.2\u00d7"),
        (changed("falling", 10), "\u2193 10.0\u00d7"),
    ],
)
def test_changes(change: Change | None, shown: str) -> None:
    """What is certain is shown, and an arrow says in which direction."""
    (line,) = printed(120, [row(change=change)]).splitlines()[3:]
    before_sparkline = line.partition("\u2581")[0].split()
    assert " ".join(before_sparkline[3:]) == shown


def test_the_last_hours_are_bars() -> None:
    """The largest is the highest; even a single call has a bar, and none has none."""
    (line,) = printed(120, [row()]).splitlines()[3:]
    assert " \u2581\u2588 " in line
    (line,) = printed(80, [row()]).splitlines()[3:]
    assert " \u2581\u2588 " in line
    (line,) = printed(120, [row()], encoding="ascii").splitlines()[3:]
    assert " .@ " in line


@pytest.mark.parametrize(
    ("count", "shown"), [(1, "1 B"), (999, "999 B"), (1_000, "1 kB"), (10**16, "10,000 TB")]
)
def test_bytes_have_a_unit(count: int, shown: str) -> None:
    """A line of one byte, so many times."""
    assert shown in printed(120, [row(count)], with_size=True)


def test_details_follow_their_message() -> None:
    """An example, the templates that were merged, and how many of them are not shown."""
    names = [CommonRow(1, f"user {name} left", DESTINATION) for name in "abcdefghijkl"]
    merged = CommonRow(12, "user <*> left", DESTINATION, "user a left", tuple(names))
    rows = [
        SummaryRow(merged, 0.5, 1.0, None, HISTORY),
        SummaryRow(CommonRow(3, "seen <num>", DESTINATION, NASTY), 0.1, 1.0, None, HISTORY),
        row(1, "hello"),
    ]
    lines = [line.split() for line in printed(120, rows, with_details=True).splitlines()[3:]]
    assert lines[0][-3:] == ["user", "<*>", "left"]
    assert lines[1] == ["e.g.", "user", "a", "left"]
    assert lines[2:12] == [["1", "user", name, "left"] for name in "abcdefghij"]
    assert lines[12] == ["and", "2", "more"]
    assert lines[14][:2] == ["e.g.", "\\x1b[2J[red]\\u202e[/red]"]
    assert lines[-1][-1] == "hello"


@given(st.lists(st.integers(-5, 10**12), min_size=24, max_size=24))
def test_any_history_can_be_shown(history: list[int]) -> None:
    """Counts of another program, even below 0, break nothing."""
    shown = SummaryRow(CommonRow(1, "m", DESTINATION), 0.0, 0.0, None, tuple(history))
    assert printed(120, [shown]).count("\n") == 4
