"""The command `ingest` on real formats: hours, severities and names are those of the file."""

import json
import re
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cli.processes import RunCommand, StartCommand
from logcommon.model import Hour, hour_of
from support.layout import read_counts, total
from support.until import until


def hour(text: str) -> Hour:
    return hour_of(datetime.fromisoformat(f"{text}:00:00").replace(tzinfo=UTC).timestamp())


LOG = """\
2026-11-20 09:59:59,000 INFO shop.db: connected to 10.0.0.1
2026-11-20 10:00:00,000 INFO shop.db: connected to 10.0.0.2
2026-11-20 10:00:01,000 ERROR shop.web: request failed
Traceback (most recent call last):
  File "/srv/shop/web.py", line 41, in handle
    total()
ZeroDivisionError: division by zero
2026-11-20 11:30:00,000 INFO shop.db: connected to 10.0.0.3
2026-11-20 09:00:00,000 INFO shop.db: connected to 10.0.0.4
"""


async def test_messages_land_in_their_own_hours(
    run_command: RunCommand, valkey: Redis, tmp_path: Path
) -> None:
    """Times, severities, names and exceptions are the file's; late lines count in their hours."""
    (tmp_path / "shop.log").write_text(LOG)
    finished = run_command("ingest", tmp_path / "shop.log")
    assert finished.returncode == 0
    assert finished.stderr == (
        "logcommon: shop.log: format python\n"
        "logcommon: 9 lines, 5 messages, to 2 destinations, 2026-11-20 09:00 to 2026-11-20 11:00 "
        "UTC: 0 of them as <other>, 0 dropped\n"
    )

    connected = "connected to <ip>"
    assert await read_counts(valkey, "shop.db") == {
        hour("2026-11-20 09"): {connected: 2},
        hour("2026-11-20 10"): {connected: 1},
        hour("2026-11-20 11"): {connected: 1},
    }
    assert await read_counts(valkey, "shop.web", "error") == {
        hour("2026-11-20 10"): {"ZeroDivisionError at shop/web.py:41": 1}
    }


async def test_what_is_read_is_shown(run_command: RunCommand, tmp_path: Path) -> None:
    """`top` shows the newest hour that the file has, and `destinations` all of its hours."""
    (tmp_path / "shop.log").write_text(LOG)
    run_command("ingest", tmp_path / "shop.log")
    (row,) = json.loads(run_command("top", "shop.db", "--json").stdout)
    assert (row["hour"], row["count"]) == ("2026-11-20T11:00:00Z", 1)
    assert (row["message"], row["example"]) == ("connected to <ip>", "connected to 10.0.0.3")
    found = json.loads(run_command("destinations", "--json").stdout)
    assert [len(each["hours"]) for each in found] == [3, 1]


async def test_options_come_before_what_the_file_says(
    run_command: RunCommand, valkey: Redis, tmp_path: Path
) -> None:
    """`--name` and `--severity` are for all messages, and `--raw` counts exceptions' messages."""
    (tmp_path / "shop.log").write_text(LOG)
    run_command("ingest", tmp_path / "shop.log", "--name", "app", "--severity", "debug", "--raw")
    counts = await read_counts(valkey, "app", "debug")
    assert counts[hour("2026-11-20 10")] == {"connected to 10.0.0.2": 1, "request failed": 1}
    assert await total(valkey, "app", "debug") == 5


async def test_the_name_is_the_files_by_default(
    run_command: RunCommand, valkey: Redis, tmp_path: Path
) -> None:
    """If lines name no service, the file does, up to the first dot; each file has its format."""
    (tmp_path / "access.log.1").write_text(
        '1.2.3.4 - - [20/Nov/2026:10:00:00 +0000] "GET /orders/17?a=1 HTTP/1.1" 404 9\n'
    )
    (tmp_path / "notes").write_text("hello\n")
    finished = run_command(
        "ingest", tmp_path / "access.log.1", tmp_path / "notes", "-", stdin=b'{"msg": "x"}\n'
    )
    assert finished.stderr.splitlines()[:-1] == [
        "logcommon: access.log.1: format nginx",
        "logcommon: notes: each line is a message",
        "logcommon: standard input: format json",
    ]
    counts = await read_counts(valkey, "access", "warning")
    assert counts == {hour("2026-11-20 10"): {"GET /orders/<num> 404": 1}}
    assert (await total(valkey, "notes"), await total(valkey, "stdin")) == (1, 1)


async def test_a_pattern_of_ones_own(run_command: RunCommand, valkey: Redis) -> None:
    """A regular expression with named groups says where everything is."""
    pattern = r"(?P<time>\d{6} \d{6}) (?P<severity>\w+) (?P<name>\w+) (?P<message>.*)"
    line = b"261120 100000 WARN dfs 3 blocks are missing\n"
    finished = run_command("ingest", "--format", pattern, stdin=line)
    assert finished.stderr.startswith("logcommon: 1 line to dfs (warning), 2026-11-20 10:00 UTC: ")
    counts = await read_counts(valkey, "dfs", "warning")
    assert counts == {hour("2026-11-20 10"): {"<num> blocks are missing": 1}}


async def test_following_waits_for_the_end_of_a_record(
    start_command: StartCommand, valkey: Redis, tmp_path: Path
) -> None:
    """The last record of a growing file is counted as soon as the file stops growing."""
    path = tmp_path / "shop.log"
    path.write_text(LOG)
    process = start_command("ingest", "--follow", path, "--name", "app")

    async def has_all() -> bool:
        return await total(valkey, "app") == 4 and await total(valkey, "app", "error") == 1

    await until(has_all)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate()
    assert process.returncode == 0
    assert b"9 lines, 5 messages, to 2 destinations" in stderr


async def test_an_hour_that_was_not_kept_is_dropped(run_command: RunCommand, valkey: Redis) -> None:
    """A line more than a month older than the newest before it is reported, with exit code 1."""
    for day in ("2026-11-19", "2026-11-20"):
        run_command("ingest", "--name", "app", stdin=f"{day} 10:00:00 INFO new\n".encode())
    old = b"2026-09-20 10:00:00 INFO old\n"
    finished = run_command("ingest", "--name", "app", stdin=old)
    assert finished.returncode == 1
    assert "0 of them as <other>, 1 dropped" in finished.stderr
    assert "error: not every message was counted" in finished.stderr
    assert await total(valkey, "app") == 2


REAL: dict[str, tuple[str, Callable[[str], tuple[str, str]]]] = {
    "Apache": (
        "apache-error",
        lambda line: (_date(line[1:25], "%c"), line.split("[")[2].split("]")[0]),
    ),
    "Windows": ("python", lambda line: (line[:13], "info")),
    "Zookeeper": ("python", lambda line: (line[:13], line.split()[3].lower())),
}
SEVERITIES = {"notice": "info", "warn": "warning"}


def _date(text: str, style: str) -> str:
    return datetime.strptime(text, style).replace(tzinfo=UTC).isoformat(" ")[:13]


@pytest.mark.parametrize("log", REAL)
async def test_real_logs(run_command: RunCommand, valkey: Redis, loghub: Path, log: str) -> None:
    """Each of two thousand lines counts in the hour and with the severity that it shows."""
    file = loghub / log / f"{log}_2k.log"
    name, read = REAL[log]
    lines = file.read_text().splitlines()
    finished = run_command("ingest", file, "--name", "real")
    assert finished.stderr.startswith(f"logcommon: {file.name}: format {name}\n")

    shown = Counter(map(read, lines))
    expected = {
        (hour(at), SEVERITIES.get(severity, severity)): count
        for (at, severity), count in shown.items()
    }
    found = {}
    for severity in {each for _, each in expected}:
        for at, counts in (await read_counts(valkey, "real", severity)).items():
            found[at, severity] = counts.total()
    assert found == expected
    assert sum(found.values()) == len(lines) == 2_000


async def test_a_real_syslog(run_command: RunCommand, valkey: Redis, loghub: Path) -> None:
    """Each line counts for the program that it names."""
    file = loghub / "Linux" / "Linux_2k.log"
    tag = re.compile(r".{15} combo ([^:\[ ]+)(?:\[\d+\])?:")
    tags = map(tag.match, file.read_text().splitlines())
    programs = Counter(found[1] if found else "Linux_2k" for found in tags)
    assert run_command("ingest", file).returncode == 0
    assert {name: await total(valkey, name) for name in programs} == programs
