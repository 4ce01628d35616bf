"""`recent --follow`, in a pipe as a script reads it, and in a terminal."""

import json
import re
import signal
from pathlib import Path

import logcommon
from cli.processes import DEADLINE, Process, RunCommand, StartCommand

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


async def put(log: logcommon.CommonLog, *messages: str) -> None:
    for message in messages:
        log.log_common_nowait("api", message, "error")
    await log.flush()


def next_line(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().removesuffix("\n")


async def test_each_message_is_a_line(start_command: StartCommand, valkey_url: str) -> None:
    """The newest come first, then those that are logged; Ctrl-C is how it ends."""
    async with logcommon.connect(valkey_url) as log:
        await put(log, "a", "b", "c\x1b[2J")
        process = start_command("recent", "--follow", "-n", "2")
        assert re.fullmatch(TIME + " error    api b", next_line(process))
        assert next_line(process).endswith(r" error    api c\x1b[2J")
        await put(log, "d")
        assert next_line(process).endswith(" error    api d")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert (out, err, process.returncode) == (b"", b"", 0)


async def test_as_json(start_command: StartCommand, valkey_url: str) -> None:
    """A document on each line, and on standard error how many messages came too fast."""
    async with logcommon.connect(valkey_url) as log:
        await put(log, "first")
        process = start_command("recent", "api", "--severity", "error", "--follow", "--json")
        assert json.loads(next_line(process))["message"] == "first"
        await put(log, *map(str, range(130)))
        found = [json.loads(next_line(process))["message"] for _ in range(100)]
        assert found == [str(number) for number in range(30, 130)]
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE)
    assert err == b"logcommon: api \xc2\xb7 error: 30 messages came too fast to be shown\n"
    assert process.returncode == 0


async def test_a_reader_that_has_enough(start_command: StartCommand, valkey_url: str) -> None:
    """`| head -1` ends it with the next message, without an error."""
    async with logcommon.connect(valkey_url) as log:
        await put(log, "a")
        process = start_command("recent", "api", "--follow")
        assert next_line(process).endswith(" error    a")
        assert process.stdout is not None
        process.stdout.close()
        await put(log, "b")
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(DEADLINE) == 1


def test_commas(run_command: RunCommand) -> None:
    """A stream has no header, so it is not printed as comma-separated values."""
    finished = run_command("recent", "--follow", "--csv")
    assert finished.returncode == 2
    assert "--json" in finished.stderr


def test_without_a_server(run_command: RunCommand, tmp_path: Path) -> None:
    """It says so at once, instead of waiting for one."""
    finished = run_command("recent", "--follow", url=f"unix://{tmp_path}/no.sock")
    assert finished.returncode == 3
