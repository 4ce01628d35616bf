"""Running something in a forked child."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

_Test = TypeVar("_Test", bound=Callable[..., object])


def forking(test: _Test) -> _Test:
    """Mark a test that forks: it needs `os.fork`, and Python 3.12 warns if there are threads."""
    ignored = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    needed = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
    marked: _Test = ignored(needed(test))
    return marked


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child and return its exit code, 1 if it raised."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  # a child must never go on as if it were the test
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
