"""Errors can be copied and pickled."""

import copy
import pickle
from collections.abc import Callable, Iterator

import pytest

import logcommon.cli.failures  # noqa: F401  # it has errors of its own
from logcommon.exceptions import (
    CommitTimeoutError,
    LogCommonError,
    OutcomeUnknownError,
    SpoolError,
)

ARGUMENTS: dict[type[LogCommonError], tuple[object, ...]] = {
    CommitTimeoutError: ("common:api:info", 3, "TimeoutError"),
    OutcomeUnknownError: ("common:api:info",),
    SpoolError: ("/var/spool/api", OSError("database is locked")),
}
"""Arguments of the classes that take other arguments than a text."""


def _all(kind: type[LogCommonError]) -> Iterator[type[LogCommonError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all(below)


def _pickled(error: LogCommonError) -> LogCommonError:
    made: LogCommonError = pickle.loads(pickle.dumps(error))  # noqa: S301
    return made


@pytest.mark.parametrize("kind", dict.fromkeys(_all(LogCommonError)))
@pytest.mark.parametrize("duplicate", [_pickled, copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(
    kind: type[LogCommonError], duplicate: Callable[[LogCommonError], LogCommonError]
) -> None:
    """Its type, its text, its attributes and its notes are the same afterwards."""
    error = kind(*ARGUMENTS.get(kind, ("what to do",)))
    error.add_note("seen in a worker")
    made = duplicate(error)
    assert type(made) is kind
    assert (str(made), repr(made)) == (str(error), repr(error))
    assert vars(made) == vars(error)
    assert made.args == error.args
