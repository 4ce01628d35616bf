"""Logged text made safe to show."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from logcommon.cli.output import visible, visible_text

any_text = st.text(st.characters(exclude_categories=[]))


@given(any_text)
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    """Only printable characters are shown, whatever was logged."""
    assert visible(text).isprintable()
    assert visible_text(text).plain.isprintable()


@given(any_text)
def test_the_coloured_form_says_the_same(text: str) -> None:
    """The text for rich differs only in its colours."""
    assert visible_text(text).plain == visible(text)


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_printable_text_is_shown_as_it_is(text: str) -> None:
    """Letters of any script are unchanged, and so is text that looks like an escape."""
    assert visible(text + " \\x1b") == text + " \\x1b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines\r", r"two\nlines\r"),
        ("a\tb", r"a\tb"),
        ("\x9b2J", r"\x9b2J"),
        ("\x7f", r"\x7f"),
        ("user\u202egpj.exe", r"user\u202egpj.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("a\u2028b", r"a\u2028b"),
        ("\U000e0041", r"\U000e0041"),
        ("\udc80", r"\udc80"),
    ],
)
def test_an_escape_shows_what_the_character_is(text: str, shown: str) -> None:
    """Each dangerous kind of character is shown by its code."""
    assert visible(text) == shown


def test_markup_is_not_read() -> None:
    """Square brackets and emoji codes in a message are shown as they are."""
    text = "[bold]not bold[/] :smile: [link=http://x]y[/link]"
    console = Console(width=80, file=StringIO(), force_terminal=True)
    with console.capture() as shown:
        console.print(visible_text(text))
    assert shown.get() == text + "\n"


def test_a_long_text_is_cut_and_marked() -> None:
    """A cut text ends with a mark and has the length asked for."""
    assert visible_text("x" * 100, longest=10).plain == "x" * 9 + "…"
    assert visible_text("x" * 10, longest=10).plain == "x" * 10
