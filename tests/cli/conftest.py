"""The command as a real process."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cli.processes import (
    COMMAND,
    DEADLINE,
    Finished,
    Process,
    RunCommand,
    StartCommand,
    environment,
)


@pytest.fixture
def run_command(valkey_url: str) -> RunCommand:
    """Run `logcommon` to its end, on the emptied Valkey unless `url` names another server."""

    def run(
        *arguments: object,
        stdin: bytes = b"",
        url: str | None = valkey_url,
        columns: int | None = None,
    ) -> Finished:
        finished = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=stdin,
            env=environment(url) | ({"COLUMNS": str(columns)} if columns else {}),
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )

        return subprocess.CompletedProcess(
            finished.args,
            finished.returncode,
            finished.stdout.decode(),
            finished.stderr.decode(),
        )

    return run


@pytest.fixture
def start_command(valkey_url: str) -> Iterator[StartCommand]:
    """Start `logcommon` on the emptied Valkey, and kill it at the end if it still runs."""
    with ExitStack() as stack:

        def start(
            *arguments: object,
            stdin: int = subprocess.PIPE,
            stdout: int = subprocess.PIPE,
            stderr: int = subprocess.PIPE,
        ) -> Process:
            process = stack.enter_context(
                subprocess.Popen(
                    [*COMMAND, *map(str, arguments)],
                    env=environment(valkey_url),
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                )
            )
            stack.callback(process.kill)
            return process

        yield start
