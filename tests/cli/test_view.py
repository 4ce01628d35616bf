"""The keys of a live table, in this process."""

import asyncio
import os
import pty
import sys
import termios
from collections.abc import Iterator

import pytest

from logcommon.cli.view import View, keys_pressed
from support.until import until


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of the terminal that is standard input."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours


def test_what_keys_change() -> None:
    """Severities come in turn, also after one that nothing is logged with any more."""
    view = View("gone", "count")
    for expected in ("info", "error", None, "info"):
        view.press("s", ["info", "error"])
        assert (view.severity, view.has_changed) == (expected, True)
    view.has_changed = False
    view.press("p", [])
    view.press("x", [])
    assert (view.is_paused, view.has_changed) == (True, False)
    for expected in ("bytes", "count"):
        view.press("b", [])
        assert (view.by, view.has_changed) == (expected, True)


async def test_keys_come_at_once_and_without_an_echo(keyboard: int) -> None:
    """Afterwards the terminal is as it was."""
    before = termios.tcgetattr(sys.stdin.fileno())
    pressed: list[str] = []
    with keys_pressed(pressed.append):
        os.write(keyboard, "a\u00e9b".encode())
        await until(lambda: pressed == ["a", "b"])
        assert not termios.tcgetattr(sys.stdin.fileno())[3] & termios.ECHO
    assert termios.tcgetattr(sys.stdin.fileno()) == before
    os.close(keyboard)


async def test_a_terminal_that_is_closed(keyboard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read again and again; the signal that comes with it ends the command."""
    reads = []
    read = os.read

    def counted(*arguments: int) -> bytes:
        reads.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(os, "read", counted)
    with keys_pressed(lambda _: None):
        os.close(keyboard)
        await until(lambda: reads)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(reads) == 1


async def test_without_a_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table can be watched while standard input is something else."""
    ours, theirs = os.pipe()
    with os.fdopen(ours) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with keys_pressed(lambda _: None):
            assert not asyncio.get_running_loop().remove_reader(ours)
    os.close(theirs)


async def test_a_command_in_the_background(keyboard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the terminal to the others; to change it would stop the command."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    before = termios.tcgetattr(sys.stdin.fileno())
    with keys_pressed(lambda _: None):
        assert termios.tcgetattr(sys.stdin.fileno()) == before
    os.close(keyboard)
