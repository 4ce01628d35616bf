"""The commands about changes, as a person or a script uses them."""

import json
import re
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import logcommon
from cli.processes import RunCommand, StartCommand
from logcommon.cli.changes import watch
from support.clock import HandClock
from support.targets import http_target
from support.until import until

HOUR = 3600


async def _log(url: str, hours_since: int = 0) -> None:
    """Log three hours, the last of them `hours_since` hours ago, in which some messages change."""
    moment = [0.0]
    async with logcommon.connect(url, clock=lambda: moment[0], template=logcommon.template) as log:
        for hours_ago, counts in (
            (2, {"steady": 400, "rising": 10, "gone": 400}),
            (1, {"steady": 400, "rising": 10, "gone": 400}),
            (0, {"steady": 400, "rising": 9_000, "order 17 is new": 90}),
        ):
            moment[0] = time.time() - (hours_ago + hours_since) * HOUR
            for message, count in counts.items():
                for _ in range(count):
                    log.log_common_nowait("shop", message)
        await log.log_common("\x1b[2J", "elsewhere", "error")


def _json(run_command: RunCommand, *arguments: object) -> Any:
    finished = run_command(*arguments, "--json")
    assert (finished.returncode, finished.stderr) == (0, "")
    return json.loads(finished.stdout)


async def test_what_has_changed_since_the_last_hour(
    run_command: RunCommand, valkey_url: str
) -> None:
    """Each change has its kind, factor, rates, severity and message, under both windows."""
    await _log(valkey_url)
    finished = run_command("compare", "shop", "--details")
    title, _, _, *lines = finished.stdout.splitlines()
    assert re.match(r"shop: .* UTC, the (current|last) hour.*, compared with .* UTC, ", title)
    assert re.search(
        r"^rising +[\d,.]+\S +10 +[\d,]+ +info +rising$", finished.stdout, re.MULTILINE
    )
    assert re.search(r"^new .* info +order <num> is new$", finished.stdout, re.MULTILINE)
    assert any(line.strip() == "e.g. order 17 is new" for line in lines)
    assert not any(line.startswith("steady") for line in lines)
    assert all(line == line.rstrip() for line in lines)


async def test_all_services_and_what_is_steady(run_command: RunCommand, valkey_url: str) -> None:
    """Without a name services are a column, whose names never act on the terminal."""
    await _log(valkey_url, hours_since=1)
    hour = f"{datetime.fromtimestamp(time.time() - HOUR, UTC):%Y-%m-%dT%H}"
    finished = run_command("compare", "--all", "--since", "history", "--hour", hour)
    assert "compared with 2 hours from " in finished.stdout
    assert re.search(r"^new .* error +\\x1b\[2J +elsewhere$", finished.stdout, re.MULTILINE)
    assert re.search(r"^steady .* info +shop +steady$", finished.stdout, re.MULTILINE)


async def test_changes_as_json(run_command: RunCommand, valkey_url: str) -> None:
    """A script gets both windows and every field of a change."""
    await _log(valkey_url)
    found = _json(run_command, "compare", "shop", "-n", 1)
    assert found["before"]["seconds"] == HOUR
    assert len(found["after"]["hours"]) == len(found["before"]["hours"]) == 1
    (change,) = found["changes"]
    assert change["kind"] == "rising"
    assert (change["name"], change["severity"], change["message"]) == ("shop", "info", "rising")
    assert (change["before"], change["after"]) == (10, 9_000)
    assert change["first_seen"] < change["last_seen"]


async def test_since_a_mark(run_command: RunCommand, valkey_url: str) -> None:
    """A mark is noted, listed, and compared with; so is an hour."""
    await _log(valkey_url)
    finished = run_command("mark", "v1.4.2\x1b")
    assert re.fullmatch(r"logcommon: marked .* at \d{4}-.* UTC\n", finished.stderr)
    assert run_command("marks").stdout.endswith(r"  v1.4.2\x1b" + "\n")
    (mark,) = _json(run_command, "marks")
    assert mark["text"] == "v1.4.2\x1b"

    assert "rising" in run_command("compare", "shop", "--since", "v1.4.2\x1b").stdout
    hour = datetime.fromtimestamp(time.time() - HOUR, UTC)
    assert "rising" in run_command("compare", "shop", "--since", f"{hour:%Y-%m-%dT%H}").stdout
    finished = run_command("compare", "shop", "--since", "v2")
    assert finished.returncode == 2
    assert "there is no mark 'v2'; the newest are" in finished.stderr


def test_nothing_was_marked(run_command: RunCommand) -> None:
    """The command says how to begin."""
    assert "logcommon mark TEXT" in run_command("marks").stdout
    assert _json(run_command, "marks") == []


def test_nothing_was_logged(run_command: RunCommand) -> None:
    """An empty server is no error; an unknown service is."""
    assert "logcommon demo" in run_command("compare").stdout
    assert run_command("compare", "shop").returncode == 4


async def test_nothing_has_changed(run_command: RunCommand, valkey_url: str) -> None:
    """The command says so, under the same title."""
    for hours_ago in (2, 1):
        clock = HandClock()
        clock.now = time.time() - hours_ago * HOUR
        async with logcommon.connect(valkey_url, clock=clock) as log:
            await log.log_common("shop", "m", "info")

    hour = f"{datetime.fromtimestamp(clock.now, UTC):%Y-%m-%dT%H}"
    shown = run_command("compare", "shop", "--hour", hour).stdout
    assert shown.endswith(": nothing has changed.\n")
    shown = run_command("compare", "shop", "--hour", hour, "--severity", "error").stdout
    assert shown.startswith("shop · error: nothing was logged")


async def test_calls_that_cannot_be_compared(run_command: RunCommand, valkey_url: str) -> None:
    """Many calls counted as `<other>` are worth a warning."""
    async with logcommon.connect(valkey_url, max_members=1) as log:
        for message in "abc":
            await log.log_common("shop", message)
    finished = run_command("compare", "shop")
    assert "2 calls were counted as <other>: a message among them may seem" in finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "--since", "v1", "--hour", "last"),
        ("compare", "--hour", "yesterday"),
        ("mark",),
        ("mark", ""),
    ],
)
def test_wrong_usage(run_command: RunCommand, arguments: tuple[str, ...]) -> None:
    """It exits with code 2 and one line."""
    finished = run_command(*arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.count("\n") == 1


async def test_watching(start_command: StartCommand, valkey_url: str) -> None:
    """Each change is a line of JSON at once; Ctrl-C ends it, with exit code 0."""
    await _log(valkey_url)
    process = start_command("watch", "shop", "--interval", "0.1", "--at-least", "2")
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    assert (line["kind"], line["message"]) in {("rising", "rising"), ("new", "order <num> is new")}
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, b"")


async def test_watching_notifies(start_command: StartCommand, valkey_url: str) -> None:
    """Each change is sent to all targets as well; what was not delivered is said at the end."""
    await _log(valkey_url)
    with http_target() as target, http_target() as broken:
        broken.failing = 1_000
        urls = (arguments for each in (target, broken) for arguments in ("--notify", each.url))
        process = start_command("watch", "shop", "--interval", "0.1", *urls)
        await until(lambda: len(target.received) >= 2 and broken.attempts)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
    assert process.returncode == 0
    changes = stdout.count(b"\n")  # early in an hour, what is steady seems to rise as well
    assert len(target.received) == changes
    assert stderr.decode().splitlines() == [
        "logcommon: warning: target 2: a change could not be delivered",
        f"logcommon: warning: {changes} changes were not delivered",
    ]


def test_a_target_that_is_unknown(run_command: RunCommand) -> None:
    """It is wrong usage, and is not shown."""
    finished = run_command("watch", "--notify", "nothing://user:hunter2@host")
    assert finished.returncode == 2
    assert finished.stderr == "logcommon: error: target 1 is no URL that apprise knows\n"


def test_watching_without_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    ended = CliRunner().invoke(watch, ["--notify", "json://localhost"])
    assert ended.exit_code == 2
    assert "pip install 'apprise" in ended.output


def test_watching_without_a_server(run_command: RunCommand, tmp_path: Path) -> None:
    """It fails at once, instead of waiting."""
    assert run_command("watch", url=f"unix://{tmp_path}/no.sock").returncode == 3
