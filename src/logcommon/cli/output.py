r"""Output: results go to stdout, everything else to stderr, and logged text is made safe to show.

A logged message may contain anything: escape sequences that rewrite the screen, characters that
reverse the line, line ends. Each is shown by its code, `\x1b`, `\u202e` or `\n`, so that a terminal
never acts on it.
"""

import csv
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from typing import TextIO

import click
from rich.console import Console
from rich.text import Text

WHOLE_LINES = 10_000
"""Columns when there is no terminal: a row is one line, so that `grep` works on it."""

_ESCAPED = "cyan"
_CUT_MARK = "…"


def result_console() -> Console:
    """Return the console for results. It does not interpret markup."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if has_width else WHOLE_LINES
    return Console(width=width, highlight=False, markup=False, emoji=False)


def progress_console() -> Console:
    """Return the console for progress, which disappears at the end."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(rows: Sequence[dict[str, object]] | dict[str, object]) -> None:
    """Print one JSON document in printable ASCII."""
    click.echo(_without_delete(json.dumps(rows, indent=2)))


def print_line(row: dict[str, object]) -> None:
    """Print a JSON document on one line, at once, in printable ASCII."""
    click.echo(_without_delete(json.dumps(row)))


def _without_delete(document: str) -> str:
    # DEL is the one ASCII control character that JSON does not escape.
    return document.replace("\x7f", "\\u007f")


def print_rows(output: str, rows: Sequence[dict[str, object]]) -> None:
    """Print rows as JSON or, without what is nested in them, as CSV with a header."""
    if output == "json":
        print_json(rows)
    elif rows:
        text = StringIO(newline="")
        writer = csv.DictWriter(text, _flat(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_flat, rows))
        click.echo(text.getvalue(), nl=False)


def _flat(row: dict[str, object]) -> dict[str, object]:
    return {
        name: visible(value) if isinstance(value, str) else value
        for name, value in row.items()
        if not isinstance(value, list | dict)
    }


def note(text: str) -> None:
    """Print one line on stderr, if stderr is still open."""
    try:
        click.echo(f"logcommon: {visible(text)}", err=True)
    except OSError:
        discard_output(sys.stderr)


def discard_output(stream: TextIO) -> None:
    """Discard what could not be written: it is still buffered, and would fail again at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def show_warnings() -> None:
    """Print the warnings of the package as lines of this program."""
    logging.getLogger("logcommon").addHandler(_NoteHandler(logging.WARNING))


class _NoteHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"warning: {record.getMessage()}")


def visible(text: str) -> str:
    r"""Return `text` with every character that is not printable as `\x1b`, `\n` or `\u202e`.

    These are control, format and bidi characters, line separators, surrogates, unassigned code
    points, and spaces other than U+0020.
    """
    return text if text.isprintable() else "".join(map(_visible_character, text))


def visible_text(text: str, longest: int | None = None) -> Text:
    r"""Return `text` for rich, cut to `longest` characters; nothing in it is read as markup.

    Escapes are coloured, as a message may also contain `\x1b` as four characters.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - len(_CUT_MARK)] + _CUT_MARK
    if text.isprintable():
        return Text(text)

    pieces = ((_visible_character(it), "" if it.isprintable() else _ESCAPED) for it in text)
    return Text.assemble(*pieces)


def _visible_character(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
