"""`top --watch` in a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from cli.processes import Process, RunCommand, StartCommand
from support.clock import HandClock
from support.servers import valkey_server
from support.until import until

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
HOME = b"\x1b[H"
SHOW_CURSOR = b"\x1b[?25h"


class Terminal:
    """A pseudo-terminal of a size, and all that was written to it."""

    def __init__(self, columns: int = 100) -> None:
        self.ours, self.theirs = pty.openpty()
        self.output = b""
        self.resize(columns)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def drawn_since(self, position: int) -> str:
        """Return the text that was drawn after a position, without escape sequences."""
        return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", self.output[position:]).decode()

    def close(self) -> None:
        os.close(self.theirs)
        self._thread.join(10)  # a process that a failed test has left still has the other end
        os.close(self.ours)

    def _read(self) -> None:
        with suppress(OSError):  # how Linux says that nobody has the other end any more
            while piece := os.read(self.ours, 65_536):
                self.output += piece


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal of a hundred columns."""
    terminal = Terminal()
    yield terminal
    with suppress(OSError):
        terminal.close()


def start(start_command: StartCommand, terminal: Terminal, *arguments: object) -> Process:
    ends = {"stdin": terminal.theirs, "stdout": terminal.theirs}
    return start_command("top", "--watch", "0.25", *arguments, **ends)


async def test_it_is_drawn_again_when_something_has_changed(
    start_command: StartCommand, terminal: Terminal, valkey_url: str
) -> None:
    """Counts go up, the table follows the size, and Ctrl-C leaves the terminal as it was."""
    now = time.time()  # all in one hour, even if it turns meanwhile
    async with logcommon.connect(valkey_url, clock=lambda: now) as log:
        process = start(start_command, terminal)
        await until(lambda: "Nothing was logged yet." in terminal.drawn_since(0))
        assert terminal.output.startswith(ENTER)

        await log.log_common("shop", "a message")
        await until(lambda: re.search(r" 1 .*100%.* a message", terminal.drawn_since(0)))
        position = len(terminal.output)
        for _ in range(4):
            await log.log_common("shop", "a message")
        await until(lambda: re.search(r" 5 .*100%.* a message", terminal.drawn_since(position)))

        terminal.resize(60)

        def is_narrow() -> bool:
            drawn = terminal.drawn_since(terminal.output.rindex(HOME))
            return "a message" in drawn and max(map(len, drawn.splitlines())) <= 60

        await until(is_narrow)

        process.send_signal(signal.SIGINT)
        await until(lambda: process.poll() is not None)
    assert process.returncode == 0
    terminal.close()
    assert terminal.output.rindex(LEAVE) > terminal.output.rindex(ENTER)
    assert SHOW_CURSOR in terminal.output[terminal.output.rindex(LEAVE) - 20 :]


async def test_it_is_not_drawn_while_nothing_changes(
    start_command: StartCommand, terminal: Terminal, valkey: Redis, valkey_url: str
) -> None:
    """An hour that is over stays as it is, and so does the terminal."""
    clock = HandClock()
    clock.now = time.time() - 2 * 3600
    async with logcommon.connect(valkey_url, clock=clock) as log:
        await log.log_common("shop", "a message")
    process = start(start_command, terminal, "shop", "--watch", "0.6")
    await until(lambda: "a message" in terminal.drawn_since(0))
    position, before = len(terminal.output), await _reads(valkey)

    async def has_looked_again() -> bool:
        return await _reads(valkey) >= before + 4 * 3

    await until(has_looked_again)
    assert len(terminal.output) == position
    process.send_signal(signal.SIGINT)
    await until(lambda: process.poll() is not None)
    assert process.returncode == 0


async def _reads(client: Redis) -> int:
    """Return how often a set was read, of which each look does three."""
    stats = await client.info("commandstats")
    return int(stats["cmdstat_zrevrange"]["calls"])


async def test_keys(start_command: StartCommand, terminal: Terminal, valkey_url: str) -> None:
    """They choose the severity, sort by bytes, pause and quit; the terminal is left as it was."""
    before = termios.tcgetattr(terminal.theirs)
    now = time.time()  # all in one hour, even if it turns meanwhile
    async with logcommon.connect(valkey_url, clock=lambda: now) as log:
        await log.log_common("shop", "short, twice")
        await log.log_common("shop", "short, twice")
        await log.log_common("shop", "it broke, and says at length why", "error")
    process = start(start_command, terminal)
    await until(lambda: "p pause" in terminal.drawn_since(0))

    async def shows(pattern: str, key: bytes = b"") -> None:
        position = len(terminal.output)
        os.write(terminal.ours, key)
        await until(lambda: re.search(pattern, terminal.drawn_since(position), re.DOTALL))

    await shows("bytes.*it broke.*short", b"b")
    await shows(r"All services · info.*short", b"s")
    await shows(r"All services · error.*it broke", b"s")
    await shows(r"All services: .*it broke.*short", b"s")
    await shows("paused", b"?p")
    position = len(terminal.output)
    async with logcommon.connect(valkey_url, clock=lambda: now) as log:
        await log.log_common("shop", "while paused")
    await shows("p pause", b"p")
    await until(lambda: "while paused" in terminal.drawn_since(position))
    os.write(terminal.ours, b"q")
    await until(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert termios.tcgetattr(terminal.theirs) == before


async def test_a_server_that_goes_away(
    start_command: StartCommand, terminal: Terminal, tmp_path: Path
) -> None:
    """What was shown stays, with what is wrong; the command goes on."""
    with valkey_server(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}/"
        async with logcommon.connect(url) as log:
            await log.log_common("shop", "a message")
        process = start(start_command, terminal, "--url", url)
        await until(lambda: "a message" in terminal.drawn_since(0))
        position = len(terminal.output)
    await until(lambda: "can't be reached" in terminal.drawn_since(position))
    assert "a message" in terminal.drawn_since(position)
    process.send_signal(signal.SIGINT)
    await until(lambda: process.poll() is not None)
    assert process.returncode == 0


@pytest.mark.parametrize("no_color", [False, True])
async def test_colours(
    start_command: StartCommand,
    terminal: Terminal,
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
    no_color: bool,
) -> None:
    """A severity has a colour on a terminal, but not with NO_COLOR."""
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("shop", "it broke", "error")
    process = start_command("top", stdin=terminal.theirs, stdout=terminal.theirs)
    await until(lambda: process.poll() is not None)
    terminal.close()
    assert b"it broke" in terminal.output
    assert (b"\x1b[31merror" in terminal.output) is not no_color


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((), "--watch needs a terminal"), (("--json",), "--watch shows a table only")],
)
def test_it_needs_a_terminal(
    run_command: RunCommand, arguments: tuple[str, ...], text: str
) -> None:
    """In a pipe, or with another output, the usage is wrong."""
    finished = run_command("top", "--watch", "1", *arguments)
    assert finished.returncode == 2
    assert text in finished.stderr
