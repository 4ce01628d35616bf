"""Signals end a command cleanly: no server is left, and the terminal is restored."""

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cli.processes import COMMAND, DEADLINE, environment
from logcommon.cli.signals import Stop, run

SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _hangup_is_not_ignored() -> Iterator[None]:
    """Let commands see SIGHUP even if the tests run under `nohup`, whose children ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for an embedded server, with a path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="logcommon-"))
    yield path
    is_left = _is_running(path)
    if is_left:
        os.kill(int((path / "data" / "server.pid").read_text()), signal.SIGKILL)
    shutil.rmtree(path)
    assert not is_left, "the command has left its server behind"


def _is_running(folder: Path) -> bool:
    path = str(folder / "data" / "server.sock")
    with redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


class Terminal:
    """A command in its own pseudo-terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = b""
        pid, self._terminal = pty.fork()
        if pid == 0:
            url = f"embedded:{folder}/data"
            variables = environment(url) | {"TERM": "xterm"}
            os.execve(sys.executable, [*COMMAND, *arguments], variables)  # noqa: S606
        self._pid = pid

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._terminal, keys)

    def close(self) -> None:
        """Close the window, which sends SIGHUP."""
        os.close(self._terminal)

    def read_until(self, text: bytes) -> None:
        """Wait until the command has printed something."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.output:
            assert select.select([self._terminal], [], [], deadline - time.monotonic())[0]
            self.output += os.read(self._terminal, 4096)

    def read_to_end(self) -> None:
        """Read whatever is still printed."""
        with suppress(OSError):  # how Linux says that nobody has the other end any more
            while chunk := os.read(self._terminal, 4096):
                self.output += chunk
        os.close(self._terminal)

    def exit_code(self) -> int:
        """Wait for the end."""
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


@pytest.mark.parametrize("times", [1, 3, 10])
@pytest.mark.parametrize("when", [b"calls", b"the hour has turned"])
def test_ctrl_c_in_the_demo(folder: Path, times: int, when: bytes) -> None:
    """However often it is pressed, no server and no traceback is left, and the cursor is shown."""
    terminal = Terminal(folder, "demo", "--seconds", "4")
    terminal.read_until(when)
    for _ in range(times):
        terminal.press(b"\x03")
    terminal.read_to_end()

    assert terminal.exit_code() == 128 + signal.SIGINT, terminal.output
    assert b"Traceback" not in terminal.output
    assert b"rror" not in terminal.output
    assert terminal.output.rfind(SHOW_CURSOR) > terminal.output.rfind(HIDE_CURSOR) >= 0
    assert not _is_running(folder)


def test_a_signal_while_the_event_loop_is_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It prints nothing and does not change the exit code."""
    close = BaseSelectorEventLoop._close_self_pipe  # type: ignore[attr-defined]

    def close_and_signal(loop: BaseSelectorEventLoop) -> None:
        close(loop)
        signal.raise_signal(signal.SIGINT)

    async def main(_: Stop) -> str:
        return "done"

    before = {each: signal.getsignal(each) for each in SIGNALS}
    monkeypatch.setattr(BaseSelectorEventLoop, "_close_self_pipe", close_and_signal)
    try:
        assert run(main) == "done"
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("arguments", [("demo", "--seconds", "60"), ("ingest", "--name", "app")])
def test_ctrl_c_as_soon_as_there_is_a_server(folder: Path, arguments: tuple[str, ...]) -> None:
    """The server is stopped once it has started."""
    terminal = Terminal(folder, *arguments)
    deadline = time.monotonic() + DEADLINE
    while not (folder / "data" / "start.lock").exists():
        assert time.monotonic() < deadline
    for _ in range(3):
        terminal.press(b"\x03")
    terminal.read_to_end()

    assert terminal.exit_code() == 128 + signal.SIGINT, terminal.output
    assert b"Traceback" not in terminal.output
    assert not _is_running(folder)


@pytest.mark.parametrize("command", ["demo", "follow"])
def test_a_closed_terminal(folder: Path, command: str) -> None:
    """The command ends and stops its server."""
    log = folder / "log"
    log.write_text("a\n")
    if command == "demo":
        terminal = Terminal(folder, "demo", "--seconds", "600")
        terminal.read_until(b"calls")
    else:
        terminal = Terminal(folder, "ingest", "--follow", str(log), str(log) + "2", "--name", "x")
        terminal.read_until(b"waiting for")
        _wait_for_server(folder)
    terminal.close()

    assert terminal.exit_code() == 128 + signal.SIGHUP
    assert not _is_running(folder)


def _wait_for_server(folder: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not _is_running(folder):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [("demo", "--seconds", "600"), ("ingest", "--name", "app")])
def test_any_signal_stops_the_server(
    folder: Path, command: tuple[str, ...], number: signal.Signals
) -> None:
    """The exit code names the first signal; later ones change nothing."""
    with subprocess.Popen(
        [*COMMAND, *command],
        env=environment(f"embedded:{folder}/data"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        _wait_for_server(folder)
        for each in (number, number, signal.SIGTERM):
            process.send_signal(each)
        stdout, stderr = process.communicate(timeout=DEADLINE)

    assert process.returncode in (128 + number, 128 + signal.SIGTERM)
    assert (stdout, b"Traceback" in stderr) == (b"", False)
    assert not _is_running(folder)


def test_following_under_nohup(folder: Path) -> None:
    """A signal that was ignored when the command started does not end it."""
    (folder / "log").write_text("a\n")
    with subprocess.Popen(
        [
            shutil.which("nohup") or "",
            *COMMAND,
            "ingest",
            "--follow",
            str(folder / "log"),
            "--name",
            "app",
        ],
        env=environment(f"embedded:{folder}/data"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        _wait_for_server(folder)
        process.send_signal(signal.SIGHUP)
        client = redis.Redis(unix_socket_path=str(folder / "data" / "server.sock"))
        with (folder / "log").open("a") as log, client:
            log.write("b\n")
            log.flush()
            deadline = time.monotonic() + DEADLINE
            while client.zscore("common:app:info", "b") is None:
                assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)

    assert process.returncode == 0
