"""The command `ingest`."""

import bz2
import fcntl
import gzip
import json
import lzma
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from backports import zstd
from redis.asyncio import Redis

from cli.processes import Finished, Process, RunCommand, StartCommand
from support.layout import read_counts, total
from support.until import until

INGEST = ("ingest", "--format", "lines", "--raw")


async def _until_total(client: Redis, expected: int) -> None:
    async def is_there() -> bool:
        return await total(client, "app") == expected

    await until(is_there)


async def _counts(client: Redis) -> Counter[str]:
    """Return the counts of all hours together, as the hour may turn during a test."""
    counts = await read_counts(client, "app")
    return sum(counts.values(), Counter())


def _end(process: Process, number: int) -> Finished:
    process.send_signal(number)
    stdout, stderr = process.communicate()
    return Finished(process.args, process.returncode, stdout.decode(), stderr.decode())


async def test_a_line_is_a_message(run_command: RunCommand, valkey: Redis) -> None:
    """A blank line and a last line without an end count; bytes not in UTF-8 are replaced."""
    finished = run_command(*INGEST, "--name", "app", stdin=b"a\r\n\na\ncaf\xe9 \x1b[1m\nb")
    assert finished.returncode == 0
    assert finished.stdout == ""
    assert finished.stderr == (
        "logcommon: 5 lines to app (info): 0 of them as <other>, 0 dropped\n"
    )
    assert await _counts(valkey) == {"a": 2, "": 1, "caf� \x1b[1m": 1, "b": 1}


async def test_files_and_standard_input(
    run_command: RunCommand, valkey: Redis, tmp_path: Path
) -> None:
    """Files are read one after another, and standard input among them, at the given severity."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name}\n")
    arguments = (tmp_path / "one", "-", tmp_path / "two", "--name", "app", "--severity", "ERROR")
    assert run_command(*INGEST, *arguments, stdin=b"stdin").returncode == 0
    entries = await valkey.lrange("recent:app:error", 0, -1)
    assert [entry.split()[-1] for entry in entries] == [b"two", b"stdin", b"one"]


async def test_an_unreadable_file_is_found_before_anything_is_counted(
    run_command: RunCommand, valkey: Redis, tmp_path: Path
) -> None:
    """An unreadable file exits with code 5 before anything is counted, so it can be run again."""
    (tmp_path / "one").write_text("one\n")
    for unreadable in (tmp_path / "missing", tmp_path):
        finished = run_command(*INGEST, tmp_path / "one", unreadable, "--name", "app")
        assert finished.returncode == 5
        assert finished.stderr.startswith(f"logcommon: error: can't read {unreadable}: ")
        assert finished.stderr.count("\n") == 1
    assert await valkey.dbsize() == 0


async def test_many_distinct_lines_do_not_overflow_the_client(
    run_command: RunCommand, valkey: Redis
) -> None:
    """Only the limit of the set in Redis makes lines `<other>`, and the summary says how many."""
    lines = b"".join(b"%d\n" % number for number in range(30_000))
    finished = run_command(*INGEST, "--name", "app", stdin=lines)
    assert "30,000 lines to app (info): 20,000 of them as <other>, 0 dropped" in finished.stderr
    assert await total(valkey, "app") == 30_000


async def test_lines_that_are_refused_are_an_error(run_command: RunCommand, valkey: Redis) -> None:
    """Lines that could not be counted are reported, with exit code 1."""
    await valkey.set("common:app:info", "not a sorted set")
    finished = run_command(*INGEST, "--name", "app", stdin=b"a\nb\n")
    assert finished.returncode == 1
    assert "2 lines to app (info): 0 of them as <other>, 2 dropped" in finished.stderr
    assert "logcommon: error: not every message was counted" in finished.stderr


async def test_following(start_command: StartCommand, valkey: Redis, tmp_path: Path) -> None:
    """Added lines count, and so do those after a truncation and after a replacement."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old\n" * 10)
    two.write_text("old\n")
    process = start_command(*INGEST, "--follow", one, two, "--name", "app")
    await _until_total(valkey, 11)
    with one.open("a") as file:
        file.write("new\nbegun")
    await _until_total(valkey, 12)
    one.write_text("truncated\n")
    await _until_total(valkey, 14)
    two.rename(tmp_path / "two.1")
    two.write_text("replaced\n" * 5)
    await _until_total(valkey, 19)
    with two.open("a") as file:
        file.write("without end")
    # Nothing shows when those bytes were read, but of what is behind them it shows.
    with one.open("a") as file:
        file.write("last\n")
    await _until_total(valkey, 20)
    finished = _end(process, signal.SIGTERM)
    assert finished.returncode == 0
    assert finished.stderr.startswith("logcommon: 2")

    counts = await _counts(valkey)
    counts.pop("without end", None)
    assert counts == {"old": 11, "new": 1, "begun": 1, "truncated": 1, "replaced": 5, "last": 1}


async def test_following_standard_input(run_command: RunCommand, valkey: Redis) -> None:
    """It is read to its end, as `--follow` can change nothing about it."""
    finished = run_command(*INGEST, "--follow", "--name", "app", stdin=b"a\nb")
    assert finished.returncode == 0
    assert await _counts(valkey) == {"a": 1, "b": 1}


async def test_following_ends_with_an_unfinished_line(
    start_command: StartCommand, valkey: Redis, tmp_path: Path
) -> None:
    """Ctrl-C ends following with exit code 0, after counting everything that was read."""
    (tmp_path / "log").write_text("a\nb\nwithout end")
    process = start_command(*INGEST, "--follow", tmp_path / "log", "--name", "app")
    await _until_total(valkey, 2)
    finished = _end(process, signal.SIGINT)
    assert finished.returncode == 0
    assert finished.stderr == (
        "logcommon: 3 lines to app (info): 0 of them as <other>, 0 dropped\n"
    )
    assert await _counts(valkey) == {"a": 1, "b": 1, "without end": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_reading(
    start_command: StartCommand, valkey: Redis, number: signal.Signals
) -> None:
    """Lines that were read are counted, even an unfinished one; the exit code names the signal."""
    process = start_command(*INGEST, "--name", "app")
    assert process.stdin is not None
    process.stdin.write(b"a\nb\nbegun")
    process.stdin.flush()
    await _until_total(valkey, 2)
    finished = _end(process, number)
    assert finished.returncode == 128 + number
    assert "3 lines" in finished.stderr
    assert await total(valkey, "app") == 3


async def test_a_pipe_that_nobody_writes_to_can_be_left(
    start_command: StartCommand, valkey: Redis, tmp_path: Path
) -> None:
    """A named pipe is opened without waiting for its writer, so a signal can end the command."""
    (tmp_path / "log").write_text("a\n")
    os.mkfifo(tmp_path / "pipe")
    process = start_command(*INGEST, tmp_path / "log", tmp_path / "pipe", "--name", "app")
    await _until_total(valkey, 1)
    assert _end(process, signal.SIGTERM).returncode == 128 + signal.SIGTERM


async def test_progress_is_shown_on_a_terminal(
    start_command: StartCommand, valkey: Redis, tmp_path: Path
) -> None:
    """If the size is known, a terminal shows progress before the summary."""
    (tmp_path / "log").write_bytes(b"a line of a log\n" * 200_000)
    terminal, stderr = pty.openpty()
    process = start_command(*INGEST, tmp_path / "log", "--name", "app", stderr=stderr)
    os.close(stderr)
    output = b"".join(_chunks(terminal))
    process.wait()
    assert b"100%" in output
    assert output.endswith(b"0 dropped\r\n")
    assert await total(valkey, "app") == 200_000


def _chunks(terminal: int) -> Iterator[bytes]:
    with suppress(OSError):  # how Linux says that nobody has the other end any more
        while chunk := os.read(terminal, 4096):
            yield chunk
    os.close(terminal)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("kind", COMPRESSORS)
async def test_a_compressed_file(
    run_command: RunCommand, valkey: Redis, tmp_path: Path, kind: str
) -> None:
    """Compressed data is recognized by its first bytes, in any file and on standard input."""
    data = COMPRESSORS[kind](b"a\nb\n" * 100_000)
    (tmp_path / "log").write_bytes(data)
    (tmp_path / "plain.gz").write_bytes(b"a\n")
    finished = run_command(
        *INGEST, tmp_path / "log", "-", tmp_path / "plain.gz", "--name", "app", stdin=data
    )
    assert (finished.returncode, finished.stdout) == (0, "")
    assert "400,001 lines" in finished.stderr
    assert await _counts(valkey) == {"a": 200_001, "b": 200_000}


@pytest.mark.parametrize("on_stdin", [False, True])
@pytest.mark.parametrize("kind", COMPRESSORS)
async def test_a_compressed_file_that_is_cut_off(
    run_command: RunCommand, valkey: Redis, tmp_path: Path, kind: str, on_stdin: bool
) -> None:
    """It exits with code 5 and says how many lines were counted before."""
    text = b"".join(b"line %d\n" % number for number in range(500))
    data = b"".join(COMPRESSORS[kind](part) for part in (b"first\n", text))[:-20]
    (tmp_path / "log").write_bytes(data)
    file = "-" if on_stdin else tmp_path / "log"
    finished = run_command(*INGEST, file, "--name", "app", stdin=data if on_stdin else b"")
    assert finished.returncode == 5
    report, error = finished.stderr.splitlines()
    counted = await total(valkey, "app")

    assert 1 <= counted <= 2001
    assert report.startswith(f"logcommon: {counted:,} line")
    assert error == (
        f"logcommon: error: can't read {file}: it is cut off: its {kind} data has no end; "
        "the lines before that were counted"
    )


async def test_a_compressed_file_is_not_followed(
    run_command: RunCommand, valkey: Redis, tmp_path: Path
) -> None:
    """It is refused before anything is counted, and the error says what to do."""
    (tmp_path / "log").write_bytes(gzip.compress(b"a\n"))
    (tmp_path / "plain").write_bytes(b"a\n")
    files = (tmp_path / "plain", tmp_path / "log")
    finished = run_command(*INGEST, "--follow", *files, "--name", "app")
    assert finished.returncode == 5
    assert "compressed with gzip and can't be followed; read it without --f" in finished.stderr
    assert await valkey.dbsize() == 0


async def test_the_progress_of_a_compressed_file(
    start_command: StartCommand, valkey: Redis, tmp_path: Path
) -> None:
    """Progress is measured in bytes of the file, so it ends at 100 %."""
    lines = b"".join(b"line %d\n" % number for number in range(30_000))
    (tmp_path / "log").write_bytes(gzip.compress(lines))
    terminal, stderr = pty.openpty()
    process = start_command(*INGEST, tmp_path / "log", "--name", "app", stderr=stderr)
    os.close(stderr)
    output = b"".join(_chunks(terminal))
    process.wait()
    shares = [int(share) for share in re.findall(rb"(\d+)%", output)]

    assert max(shares) == 100
    assert await total(valkey, "app") == 30_000


async def test_what_was_begun_counts_although_it_might_be_compressed(
    start_command: StartCommand, valkey: Redis
) -> None:
    """A signal does not lose bytes that were held back to recognize compressed data."""
    process = start_command(*INGEST, "--name", "app")
    assert process.stdin is not None
    process.stdin.write(b"BZh")
    process.stdin.flush()
    await until(lambda: not _unread(process.stdin))
    finished = _end(process, signal.SIGTERM)
    assert "1 line to app" in finished.stderr
    assert await _counts(valkey) == {"BZh": 1}


def _unread(pipe: IO[bytes] | None) -> bool:
    """Return whether a pipe contains unread bytes."""
    assert pipe is not None
    answer = fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4))
    return bool(int.from_bytes(answer, sys.byteorder))


async def test_secrets_are_redacted(run_command: RunCommand, valkey: Redis, tmp_path: Path) -> None:
    """With --redact no secret reaches Redis; without it lines are unchanged."""
    line = b"login with password=hunter2\n"
    assert run_command(*INGEST, "--redact", "--name", "app", stdin=line).returncode == 0
    assert await _counts(valkey) == {"login with password=<redacted>": 1}
    run_command(*INGEST, "--name", "app", stdin=line)
    assert (await _counts(valkey))["login with password=hunter2"] == 1


async def test_following_loses_no_line(
    start_command: StartCommand, valkey: Redis, tmp_path: Path
) -> None:
    """Counts are exact for a file that appears later and is rotated twice in either way."""
    path, written = tmp_path / "log", 0
    process = start_command(*INGEST, "--follow", path, "--name", "app")
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"logcommon: waiting for ")

    def write() -> int:
        with path.open("a") as file:
            file.writelines(f"line {written + number}\n" for number in range(500))
        return 500

    for way in ("rename", "copy", "rename", "copy"):
        for _ in range(2):
            written += write()
            _rotate(path, way)
            written += write()
        await _until_total(valkey, written)

    finished = _end(process, signal.SIGTERM)
    assert finished.returncode == 0
    assert f"{written:,} lines" in finished.stderr
    assert await _counts(valkey) == {f"line {number}": 1 for number in range(written)}


def _rotate(path: Path, way: str) -> None:
    for number in range(9, 0, -1):
        with suppress(FileNotFoundError):
            Path(f"{path}.{number}").rename(f"{path}.{number + 1}")
    if way == "rename":
        path.rename(f"{path}.1")
    else:
        shutil.copy(path, f"{path}.1")
        os.truncate(path, 0)


@pytest.fixture
def embedded_url() -> Iterator[str]:
    """A folder for an embedded server, with a path short enough for a socket."""
    folder = tempfile.mkdtemp(prefix="logcommon-")
    yield f"embedded:{folder}/data"
    shutil.rmtree(folder)


def test_the_embedded_server_keeps_the_data_between_commands(
    run_command: RunCommand, embedded_url: str
) -> None:
    """Each command starts and stops the private server."""
    for _ in range(2):
        assert run_command(*INGEST, "--name", "app", stdin=b"a\n", url=embedded_url).returncode == 0
    rows = json.loads(run_command("top", "app", "--json", url=embedded_url).stdout)
    assert sum(row["count"] for row in rows) in (1, 2)  # 1 where an hour turned in between
    rows = json.loads(run_command("recent", "app", "--json", url=embedded_url).stdout)
    assert len(rows) == 2


async def test_a_real_log(run_command: RunCommand, valkey: Redis, loghub: Path) -> None:
    """All of two thousand lines of OpenSSH are counted, and found by every command that reads."""
    file = loghub / "OpenSSH" / "OpenSSH_2k.log"
    lines = file.read_bytes().splitlines()
    finished = run_command(*INGEST, file, "--name", "sshd")
    assert "2,000 lines to sshd (info): 0 of them as <other>, 0 dropped" in finished.stderr
    (destination,) = json.loads(run_command("destinations", "--json").stdout)
    assert (destination["name"], destination["severity"]) == ("sshd", "info")
    counted = sum((await read_counts(valkey, "sshd")).values(), Counter())
    assert counted == Counter(line.decode() for line in lines)

    rows = json.loads(run_command("top", "sshd", "-n", 2000, "--json").stdout)
    assert {row["message"] for row in rows} <= counted.keys()

    recent = json.loads(run_command("recent", "sshd", "-n", 100, "--json").stdout)
    assert [row["message"].encode() for row in recent] == lines[:-101:-1]


def test_ingesting_from_a_closed_pipe(start_command: StartCommand) -> None:
    """Empty input is not an error."""
    process = start_command(*INGEST, "--name", "app", stdin=subprocess.DEVNULL)
    _, stderr = process.communicate()
    assert process.returncode == 0
    assert b"0 lines" in stderr


async def test_lines_are_counted_as_templates(
    run_command: RunCommand, valkey: Redis, tmp_path: Path
) -> None:
    """Lines that differ in parameters only count as one, unless `--raw` is given."""
    log = tmp_path / "log"
    log.write_text("user 1 logged in\nuser 2 logged in\n")
    finished = run_command("ingest", log, "--name", "app")
    assert finished.returncode == 0
    assert finished.stderr.startswith("logcommon: log: each line is a message\n")
    assert await _counts(valkey) == {"user <num> logged in": 2}
