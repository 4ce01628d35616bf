"""Where a command's output goes: results on stdout, everything else on stderr."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

import click
from rich.console import Console

from logcommon.cli.safe import visible

WHOLE_LINES = 10_000
"""Columns where there is no terminal: a row is one line, for `grep` and its kind."""


def result_console() -> Console:
    """Return the console for results. Nothing in what it prints is markup."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if has_width else WHOLE_LINES
    return Console(width=width, highlight=False, markup=False, emoji=False)


def progress_console() -> Console:
    """Return the console for what is shown only while it lasts."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(rows: Sequence[dict[str, object]]) -> None:
    """Print one JSON document, in printable ASCII alone."""
    document = json.dumps(rows, indent=2)
    # The one control character that is ASCII and that JSON lets stand.
    click.echo(document.replace("\x7f", "\\u007f"))


def note(text: str) -> None:
    """Print one line on stderr, unless nobody can read it any more."""
    try:
        click.echo(f"logcommon: {visible(text)}", err=True)
    except OSError:
        drop_output(sys.stderr)


def drop_output(stream: TextIO) -> None:
    """Forget what could not be printed: it is in the buffer, and would fail again at the exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def show_warnings() -> None:
    """Print the warnings of the package as lines of this program."""
    logging.getLogger("logcommon").addHandler(_Notes(logging.WARNING))


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"warning: {record.getMessage()}")
