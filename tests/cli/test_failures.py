"""Errors as exit codes and as lines."""

import click
import pytest

from logcommon.cli.failures import (
    ExitCode,
    NotExactError,
    UnknownNameError,
    UnreadableFileError,
    exit_code,
    explain,
)
from logcommon.exceptions import (
    ClusterUnsupportedError,
    EmbeddedServerError,
    InvalidArgumentError,
    LoginRefusedError,
    ServerRefusedError,
    ServerUnavailableError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("x"), ExitCode.OTHER),
        (NotExactError("x"), ExitCode.OTHER),
        (ServerRefusedError("x"), ExitCode.OTHER),
        (click.UsageError("x"), ExitCode.USAGE),
        (InvalidArgumentError("x"), ExitCode.USAGE),
        (ServerUnavailableError("x"), ExitCode.UNREACHABLE),
        (LoginRefusedError("x"), ExitCode.UNREACHABLE),
        (ClusterUnsupportedError("x"), ExitCode.UNREACHABLE),
        (EmbeddedServerError("x"), ExitCode.UNREACHABLE),
        (UnknownNameError("x"), ExitCode.UNKNOWN_NAME),
        (UnreadableFileError("x"), ExitCode.UNREADABLE_FILE),
        (ExceptionGroup("g", [ExceptionGroup("g", [LoginRefusedError("x")])]), 3),
    ],
)
def test_an_error_has_the_documented_code(error: Exception, code: int) -> None:
    """Scripts can tell errors apart, even if a task group wrapped them."""
    assert exit_code(error) == code


def test_an_error_of_ours_explains_itself() -> None:
    """The text of an error of ours is shown, even if a task group wrapped it."""
    group = ExceptionGroup("unhandled errors", [ServerUnavailableError("no server")])
    assert explain(group) == "no server"


def test_a_url_as_an_argument_is_shown_without_its_password() -> None:
    """Click quotes an argument that it can't use; a password in it is left out."""
    error = click.UsageError("Got unexpected extra argument (redis://bob:hunter2@host:6379/0)")
    assert explain(error) == "Got unexpected extra argument (redis://…@host:6379/0)"


def test_an_unforeseen_error_does_not_show_its_text() -> None:
    """An unexpected error shows its type only, as its text might contain a password."""
    assert "hunter2" not in explain(RuntimeError("redis://:hunter2@localhost"))
    assert "RuntimeError" in explain(RuntimeError("redis://:hunter2@localhost"))
