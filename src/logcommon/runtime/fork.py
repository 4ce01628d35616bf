"""A forked child, in which whatever has connections and threads begins anew."""

import contextlib
import os
import weakref
from typing import Protocol


class BeginsAnew(Protocol):
    """What has something that a forked child must not go on with."""

    def _begin_in_child(self) -> object:
        """Forget everything, and return what is the parent's and must not be closed here."""


def begin_anew_in_children(each: BeginsAnew) -> None:
    """Have `each` begin anew in every child that is forked while it lives."""
    _ALL.add(each)


def living() -> list[BeginsAnew]:
    """Return everything that would begin anew in a child forked now."""
    while True:
        with contextlib.suppress(RuntimeError):  # another thread has just added one
            return list(_ALL)


_ALL: "weakref.WeakSet[BeginsAnew]" = weakref.WeakSet()
_OF_THE_PARENT: list[object] = []
"""Kept, as the garbage collector would close it."""


def _after_fork() -> None:
    _OF_THE_PARENT.extend([each._begin_in_child() for each in living()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
