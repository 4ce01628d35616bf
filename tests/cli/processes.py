"""`logcommon` as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import TypeAlias

Finished: TypeAlias = subprocess.CompletedProcess[str]
Process: TypeAlias = subprocess.Popen[bytes]
RunCommand: TypeAlias = Callable[..., Finished]
StartCommand: TypeAlias = Callable[..., Process]

COMMAND = [sys.executable, "-W", "error", "-m", "logcommon.cli"]
DEADLINE = 60


def environment(url: str | None) -> dict[str, str]:
    """Return this process's environment, in UTC, with `url` as the one setting for output."""
    ours = ("LOGCOMMON_URL", "LOGCOMMON_TRACEBACK")
    unwanted = (*ours, "COLUMNS", "FORCE_COLOR", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    kept["TZ"] = "UTC"
    return kept if url is None else kept | {"LOGCOMMON_URL": url}


def run(*arguments: str, url: str | None, stdin: str = "", **variables: str) -> Finished:
    """Run `logcommon` to its end, with `variables` in its environment."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        env=environment(url) | variables,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        text=True,
    )
