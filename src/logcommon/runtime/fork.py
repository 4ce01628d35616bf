"""Resets what a forked child inherits and must not use: connections, threads, event loops."""

import os
import weakref
from typing import Protocol


class ResetsAfterFork(Protocol):
    """An object that has to be reset in a forked child."""

    def reset_after_fork(self) -> None:
        """Return to the state before anything was opened, closing nothing of the parent's."""


def reset_in_children(each: ResetsAfterFork) -> None:
    """Call `each.reset_after_fork()` in every child that is forked while `each` exists."""
    _TO_RESET.add(each)


def keep_alive(inherited: object) -> None:
    """Keep an inherited object from being closed by the garbage collector."""
    _INHERITED.append(inherited)


_TO_RESET: "weakref.WeakSet[ResetsAfterFork]" = weakref.WeakSet()
_INHERITED: list[object] = []


def _reset_all() -> None:
    for each in list(_TO_RESET):
        each.reset_after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows has no fork
    os.register_at_fork(after_in_child=_reset_all)
