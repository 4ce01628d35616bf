"""`mute`, `unmute` and `mutes`, as a person uses them."""

import json
import re

import pytest

import logcommon
from cli.processes import RunCommand


async def test_muting(run_command: RunCommand, valkey_url: str) -> None:
    """Until when is said at once and in the list, and tables mark the message."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("shop", "declined\x1b")
    finished = run_command("mute", "declined\x1b", "--for", "2w", "--until-rises", "5")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert re.fullmatch(
        r"logcommon: muted until \d{4}-.* UTC, or until it rises 5-fold, see: logcommon mutes\n",
        finished.stderr,
    )
    assert re.search(r"20\d\d-.* 20\d\d-.* 5.  +declined\\x1b\n", run_command("mutes").stdout)
    assert r"muted: declined\x1b" in run_command("top", "shop").stdout
    assert r"muted: declined\x1b" in run_command("compare", "shop").stdout
    (row,) = json.loads(run_command("top", "shop", "--json").stdout)
    assert row["muted"] is True

    finished = run_command("unmute", "declined\x1b")
    assert (finished.returncode, finished.stderr) == (0, "logcommon: unmuted\n")
    assert run_command("mutes").stdout == "Nothing is muted.\n"
    finished = run_command("unmute", "declined\x1b")
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1)


def test_for_ever_is_said(run_command: RunCommand) -> None:
    """A message that nobody has counted is probably a typing error."""
    finished = run_command("mute", "a message", "--for", "ever")
    assert finished.stderr.startswith("logcommon: muted for ever, see")
    assert "warning: no such message was counted" in finished.stderr
    assert re.search(r"for ever +a message", run_command("mutes").stdout)
    (mute,) = json.loads(run_command("mutes", "--json").stdout)
    assert (mute["message"], mute["until"], mute["before"]) == ("a message", None, [])


@pytest.mark.parametrize(
    "arguments", [("--for", "7"), ("--for", "9y"), ("--for", "0m"), ("--until-rises", "1")]
)
def test_wrong_usage(run_command: RunCommand, arguments: tuple[str, ...]) -> None:
    """It exits with code 2 and one line, and nothing is muted."""
    finished = run_command("mute", "a message", *arguments)
    assert (finished.returncode, finished.stdout, finished.stderr.count("\n")) == (2, "", 1)
    assert json.loads(run_command("mutes", "--json").stdout) == []
