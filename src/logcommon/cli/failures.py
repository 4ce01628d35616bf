"""What ends a command early: one line for a person, and an exit code for a script. Pure."""

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
    """And the number of the signal added: 130 for Ctrl-C."""


class UnknownNameError(LogCommonError):
    """Nothing was ever logged under a name."""


class UnreadableFileError(LogCommonError):
    """A file can't be read."""


class NotExactError(LogCommonError):
    """Not everything that was logged was counted."""


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
    """Return an error as one line, which never holds a URL's password."""
    error = _leaf(error)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{_masked(error.format_message())} (see {error.ctx.command_path} --help)"
    if isinstance(error, click.ClickException):
        return _masked(error.format_message())
    if isinstance(error, LogCommonError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # A fault of ours. Its text is not shown: nobody has checked what is in it.
    return f"unexpected {type(error).__name__}; LOGCOMMON_TRACEBACK=1 shows where it comes from"


def _masked(text: str) -> str:
    """Hide what stands before the host of a URL: click quotes arguments that it can't use."""
    return re.sub(r"://[^\s'/]*@", "://…@", text)


def _leaf(error: BaseException) -> BaseException:
    """Return the error itself, where a task group has put it in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
