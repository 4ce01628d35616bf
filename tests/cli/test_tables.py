"""Tables of logged text, and hours in words."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from logcommon.cli.tables import (
    common_table,
    describe_age,
    describe_hour,
    destination_table,
    hours_ago,
    print_titled,
    recent_table,
)
from logcommon.messages.words import KINDS
from logcommon.model import CommonRow, Destination, RecentRow
from logcommon.read.exposure import Lately

NOW = datetime(2026, 11, 23, 21, 10, 58, tzinfo=UTC)
THIS_HOUR = datetime(2026, 11, 23, 21, tzinfo=UTC)
DESTINATION = Destination("api", "error")
NASTY = "\x1b[2J[red]\u202e[/red] " + "very long " * 100


def _text(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _console(width: int) -> Console:
    return Console(width=width, file=StringIO(), highlight=False, markup=False, emoji=False)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("message", [NASTY, "x" * 2000, "界" * 2000])
def test_tables_keep_within_the_terminal(width: int, message: str) -> None:
    """No message makes a line too long or controls the terminal, and no number is cut."""
    console = _console(width)
    rows = [CommonRow(1_234_567, message, DESTINATION)]
    print_titled(console, "api " + message, common_table(console, rows, with_name=True))
    recents = [RecentRow(NOW, message, DESTINATION)]
    console.print(recent_table(console, recents, NOW, with_name=True))
    text = _text(console)
    lines = text.splitlines()

    assert "".join(lines).isprintable()
    assert max(map(cell_len, lines)) <= width
    assert "1,234,567" in text
    assert "21:10:58" in text


def test_placeholders_are_text() -> None:
    """A terminal shows every placeholder as it is stored; none is taken for markup."""
    console = _console(200)
    placeholders = " ".join(f"<{kind}>" for kind in KINDS)
    rows = [CommonRow(1, f"[{placeholders}]", DESTINATION)]
    console.print(common_table(console, rows, with_name=False))
    assert f"[{placeholders}]" in _text(console)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0, "the current hour"),
        (1, "the last hour"),
        (47, "47 hours ago"),
        (48, "2 days ago"),
        (729 * 24, "729 days ago"),
        (730 * 24, "2 years ago"),
        (-2, "2 h ahead of this computer's clock"),
    ],
)
def test_ages_in_words(hours: int, words: str) -> None:
    """An age is in hours, days or years, whichever can be grasped."""
    assert describe_age(THIS_HOUR - timedelta(hours=hours), NOW) == words


def test_a_bar_is_as_long_as_its_share() -> None:
    """A bar is relative to the most common message, and even the rarest message has one."""
    console = _console(80)
    rows = [CommonRow(count, "x", DESTINATION) for count in (1000, 500, 1)]
    console.print(common_table(console, rows, with_name=False))
    assert [line.count("━") for line in _text(console).splitlines()[2:]] == [10, 5, 1]


def test_a_long_message_is_shown_by_its_beginning() -> None:
    """A thousand characters don't push everything else off the screen."""
    console = _console(80)
    rows = [CommonRow(1, "x" * 1000, DESTINATION), CommonRow(1, "y", DESTINATION)]
    console.print(common_table(console, rows, with_name=False))
    assert len(_text(console).splitlines()) < 10


def test_no_line_ends_in_spaces() -> None:
    """What pads a table is left out, and even a line of spaces alone is empty."""
    console = _console(80)
    table = Table("message", "age", box=None)
    table.add_row("x", "1 h")
    table.add_row("y", "")
    table.add_row("  ", "")
    print_titled(console, "Title", table)
    lines = _text(console).splitlines()
    assert [line.split() for line in lines] == [
        ["Title"],
        ["message", "age"],
        ["x", "1", "h"],
        ["y"],
        [],
    ]
    assert [line for line in lines if line != line.rstrip()] == []


def test_times_of_another_day_have_their_date() -> None:
    """Yesterday's 21:10 is not mistaken for today's, and an unknown time is left blank."""
    yesterday = NOW.replace(day=22)
    console = _console(80)
    rows = [
        RecentRow(yesterday, "old", DESTINATION),
        RecentRow(None, "written by hand", DESTINATION),
    ]
    console.print(recent_table(console, rows, NOW, with_name=False))
    text = _text(console)

    assert "2026-11-22 21:10:58" in text
    assert "written by hand" in text


def test_an_empty_message_can_be_seen() -> None:
    """A message without characters does not look like a broken table."""
    console = _console(80)
    rows = [CommonRow(3, "", DESTINATION)]
    console.print(common_table(console, rows, with_name=False))
    assert "(empty)" in _text(console)


def test_destinations_say_how_old_they_are() -> None:
    """The newest hour of each destination is shown by its age."""
    console = _console(80)
    held = {
        DESTINATION: ([NOW.replace(hour=18, minute=0, second=0)], Lately(1, 22, 3333)),
        Destination("web", "info"): ([], Lately(0, 0, 0)),
    }
    console.print(destination_table(held, NOW))
    text = _text(console)
    assert "3 hours ago" in text
    assert "no counts" in text
    assert "3,333" in text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0, "2026-11-23 21:00 to 22:00 UTC, the current hour"),
        (1, "2026-11-23 20:00 to 21:00 UTC, the last hour"),
        (2, "2026-11-23 19:00 to 20:00 UTC, 2 hours ago"),
        (22, "2026-11-22 23:00 to 00:00 UTC, 22 hours ago"),
        (-2, "2026-11-23 23:00 to 00:00 UTC, 2 h ahead of this computer's clock"),
    ],
)
def test_an_hour_is_described_with_its_age(age: int, text: str) -> None:
    """An old hour, or one of a wrong clock, is not mistaken for the current one."""
    assert describe_hour(THIS_HOUR - timedelta(hours=age), NOW) == text


@given(st.integers(-1000, 1000), st.integers(0, 3599))
def test_age_is_counted_in_whole_hours(age: int, second: int) -> None:
    """The age does not depend on how much of this hour has passed."""
    assert hours_ago(THIS_HOUR - timedelta(hours=age), THIS_HOUR + timedelta(seconds=second)) == age
