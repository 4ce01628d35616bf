"""Turns errors into one line for a person and an exit code for a script. No I/O."""

import re
from enum import IntEnum

import click

from logcommon.exceptions import (
    ClusterUnsupportedError,
    EmbeddedServerError,
    InvalidArgumentError,
    LogCommonError,
    ServerUnavailableError,
)


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    OTHER = 1
    USAGE = 2
    UNREACHABLE = 3
    UNKNOWN_NAME = 4
    UNREADABLE_FILE = 5
    SIGNALLED = 128
    """Plus the number of the signal: 130 for Ctrl-C."""


class UnknownNameError(LogCommonError):
    """Nothing was ever logged under a name."""


class UnreadableFileError(LogCommonError):
    """A file can't be read."""


class NotExactError(LogCommonError):
    """Not everything that was logged was counted."""


class NotCopiedError(LogCommonError):
    """Not every hour was copied, or not exactly."""


_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (UnknownNameError, ExitCode.UNKNOWN_NAME),
    (UnreadableFileError, ExitCode.UNREADABLE_FILE),
    (InvalidArgumentError, ExitCode.USAGE),
    (click.UsageError, ExitCode.USAGE),
    (ServerUnavailableError, ExitCode.UNREACHABLE),
    (ClusterUnsupportedError, ExitCode.UNREACHABLE),
    (EmbeddedServerError, ExitCode.UNREACHABLE),
)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error."""
    error = _leaf(error)
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.OTHER)


def explain(error: BaseException) -> str:
    """Return an error as one line, without the password of a URL."""
    error = _leaf(error)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{_masked(error.format_message())} (see {error.ctx.command_path} --help)"
    if isinstance(error, click.ClickException):
        return _masked(error.format_message())
    if isinstance(error, LogCommonError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror

    # A bug. Its text is not shown, as it might contain a password.
    return (
        f"unexpected {type(error).__name__}; set LOGCOMMON_TRACEBACK=1 to see where it comes from"
    )


def _masked(text: str) -> str:
    """Hide the credentials in a URL: click quotes arguments that it can't use."""
    return re.sub(r"://[^\s'/]*@", "://…@", text)


def _leaf(error: BaseException) -> BaseException:
    """Return the error itself, if a task group has wrapped it in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
