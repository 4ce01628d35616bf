"""What a live table shows, and the keys that change it."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from logcommon.read.summary import Order

HINT = "s severity · b count or bytes · p pause · q quit"


class View:
    """What a live table shows, which keys change."""

    def __init__(self, severity: str | None, by: Order) -> None:
        self.severity: str | None = severity
        self.by: Order = by
        self.is_paused: bool = False
        self.has_changed: bool = False
        """Whether a key has asked for other rows."""

    def press(self, key: str, severities: Sequence[str]) -> None:
        """Change what is shown; keys without a meaning do nothing."""
        if key == "s":
            choices = [None, *severities]
            known = choices.index(self.severity) if self.severity in choices else 0
            self.severity = choices[(known + 1) % len(choices)]
        elif key == "b":
            self.by = "bytes" if self.by == "count" else "count"
        elif key == "p":
            self.is_paused = not self.is_paused
        self.has_changed = self.has_changed or key in ("s", "b")


@contextmanager
def keys_pressed(press: Callable[[str], None]) -> Iterator[None]:
    """Call `press` with each key in this event loop, without an echo, if there is a keyboard."""
    if sys.platform == "win32" or not _has_keyboard():
        yield
        return
    import termios
    import tty

    keyboard, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        pressed = b""
        with suppress(OSError):  # the terminal was closed; a signal ends the command
            pressed = os.read(keyboard, 64)
        if not pressed:
            loop.remove_reader(keyboard)
        for key in pressed.decode("ascii", "ignore"):
            press(key)

    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, read)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        with suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _has_keyboard() -> bool:
    """Return whether stdin is a terminal, and this process is not in its background."""
    if not sys.stdin.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # no job control
        return True
