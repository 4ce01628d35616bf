"""`logcommon serve` as a process."""

import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import httpx
import pytest
from click.testing import CliRunner

import logcommon
from cli.processes import DEADLINE, Process, RunCommand, StartCommand
from logcommon.cli import serve
from logcommon.cli.signals import Stop


def address_of(process: Process) -> str:
    """Return the address that `serve` says."""
    assert process.stderr is not None
    said = process.stderr.readline().decode()
    found = re.fullmatch(r"logcommon: the page is at (http://\S+/)\S* until Ctrl-C\n", said)
    assert found is not None, said
    return found[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_at_once_with_a_page_open(
    start_command: StartCommand,
    valkey_url: str,
    number: int,
) -> None:
    """A stream that goes on doesn't hold it up; it says nothing more."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("shop", "a message")
    process = start_command("serve", "--port", "0")
    async with httpx.AsyncClient(base_url=address_of(process), timeout=30) as http:
        assert (await http.get("api/summary")).json()["calls"] == 1
        assert "server" not in (await http.get("/")).headers
        async with http.stream("GET", "api/stream") as answer:
            await anext(answer.aiter_lines())
            process.send_signal(number)
            _, said = process.communicate(timeout=DEADLINE)
    assert (process.returncode, said) == (0, b"")


async def test_a_token(start_command: StartCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken from the environment, and is not printed."""
    monkeypatch.setenv("LOGCOMMON_TOKEN", "hunter2")
    process = start_command("serve", "--port", "0", "--host", "0.0.0.0")  # noqa: S104
    address = address_of(process).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    async with httpx.AsyncClient(base_url=address) as http:
        assert (await http.get("")).status_code == 401
        answer = await http.get("", headers={"Authorization": "Bearer hunter2"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--host", "0.0.0.0"), 2, "set LOGCOMMON_TOKEN"),  # noqa: S104
        (("--host", "example.invalid"), 2, "set LOGCOMMON_TOKEN"),
        (("--host", "example.invalid", "--token", "x"), 2, "can't listen on example.invalid"),
        (("--port", "70000"), 2, "--port"),
    ],
)
def test_wrong_usage(
    run_command: RunCommand,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    """It is one line, and nothing listens."""
    finished = run_command("serve", *arguments)
    assert (finished.returncode, finished.stderr.count("\n")) == (code, 1)
    assert said in finished.stderr


async def test_a_browser_is_opened_on_a_desktop(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what there is to see, once the page is there."""
    launched: list[str] = []
    monkeypatch.setattr(click, "launch", launched.append)
    stdout = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(serve, "sys", SimpleNamespace(stdout=stdout))
    stop = Stop()
    stop.scope.cancel()
    assert await serve.serve_page(stop, valkey_url, port=0, view="?name=shop") == 0
    (shown,) = launched
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?name=shop", shown)


def test_without_the_extra(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.delitem(sys.modules, "logcommon.dashboard.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ended = CliRunner().invoke(serve.serve, ["--url", valkey_url, "--port", "0"])
    assert ended.exit_code == 2
    assert "uvicorn is not installed: pip install 'starlette" in ended.output


def test_without_a_server(run_command: RunCommand, tmp_path: Path) -> None:
    """It says so at once, instead of showing an empty page."""
    assert run_command("serve", "--port", "0", url=f"unix://{tmp_path}/no").returncode == 3


async def test_the_demo_is_served(start_command: StartCommand) -> None:
    """Its messages are on the page."""
    process = start_command("demo", "--seconds", "0.3", "--tasks", "10", "--serve")
    async with httpx.AsyncClient(base_url=address_of(process)) as http:
        found = (await http.get("api/summary", params={"name": "demo-shop"})).json()
        assert found["calls"] > 0
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
