"""The end of the process: whoever still has something to write is closed in time.

Programs end in many ways, and `atexit` is only one of them. Nothing here blocks for longer than a
close may take, and the exit status of the process stays what it would have been.
"""

import asyncio
import atexit
import contextlib
import functools
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Protocol

from logcommon.runtime.fork import begin_anew_in_children

_HURRY = 1.0
"""Seconds after the end of a server in which the process is likely to end as well."""


class Closeable(Protocol):
    """What has something to write before the process ends."""

    patience: float
    """Seconds that closing it may take."""

    def begin_close(self) -> None:
        """Begin to write what is pending, and return at once."""

    def is_closing(self) -> bool:
        """Whether that is still under way."""

    def finish_close(self, deadline: float) -> None:
        """Wait for it, until that monotonic time at most."""


class _Process:
    """What is known of the end of this process; anew in each forked child."""

    def __init__(self) -> None:
        self.open: set[Closeable] = set()
        self._begin()
        begin_anew_in_children(self)

    def _begin(self) -> None:
        self.open.clear()
        self.prepared = False
        self.finalizers: list[object] = []
        self.hurry_until = 0.0
        self.terminating = False

    def _begin_in_child(self) -> object:
        parents = list(self.open)
        self._begin()
        return parents


_PROCESS = _Process()


def close_at_end(each: Closeable) -> None:
    """Have `each` closed when the process ends, unless `closed` is called before."""
    _PROCESS.open.add(each)


def closed(each: Closeable) -> None:
    """Note that nothing is left to be written."""
    _PROCESS.open.discard(each)


def in_hurry() -> bool:
    """Whether the process is ending, so that what is logged must be written at once."""
    return time.monotonic() < _PROCESS.hurry_until


def prepare() -> bool:
    """Take part in every end of this process; return whether all is done for that.

    Only the main thread can handle signals, so call it again from there while it returns False.
    """
    if _PROCESS.prepared:
        return True
    _follow_uvicorn()
    _follow_celery()
    _follow_multiprocessing()
    if threading.current_thread() is threading.main_thread():
        _follow_sigterm()
        _PROCESS.prepared = True
    return _PROCESS.prepared


def close_all() -> None:
    """Close everything that is open, all at the same time."""
    each_open, deadline = _begin_to_close_all()
    for each in each_open:
        each.finish_close(deadline)


async def close_all_in_loop() -> None:
    """Do what `close_all` does, and let the event loop run meanwhile."""
    each_open, deadline = _begin_to_close_all()
    while any(each.is_closing() for each in each_open):  # in other threads
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(0.005)
    for each in each_open:
        each.finish_close(time.monotonic())


def _begin_to_close_all() -> tuple[list[Closeable], float]:
    each_open = list(_PROCESS.open)
    for each in each_open:
        each.begin_close()
    patience = max((each.patience for each in each_open), default=0.0)
    return each_open, time.monotonic() + patience


def _end(**_: object) -> None:
    """Close everything; from now on there may be no other chance to write."""
    _PROCESS.hurry_until = float("inf")
    close_all()


atexit.register(_end)


# Without an exit of Python's own


def _follow_multiprocessing() -> None:
    """Children of `multiprocessing` end with `os._exit`, after their finalizers."""
    if "multiprocessing.util" in sys.modules and not _PROCESS.finalizers:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            _PROCESS.finalizers.append(util.Finalize(None, _end, exitpriority=0))


def _follow_celery() -> None:
    """Celery ends its processes with `os._exit`, after this signal of its own."""
    signals = sys.modules.get("celery.signals")
    ending = getattr(signals, "worker_process_shutdown", None)
    if ending is not None:
        ending.connect(_end, weak=False, dispatch_uid="logcommon")


def _follow_uvicorn() -> None:
    """Uvicorn ends itself with the default action of the signal that it got, after this method."""
    server: Any = getattr(sys.modules.get("uvicorn.server"), "Server", None)
    shutdown = getattr(server, "shutdown", None)
    if shutdown is None or hasattr(shutdown, "_of_logcommon"):
        return

    @functools.wraps(shutdown)
    async def shutdown_and_write(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return await shutdown(*args, **kwargs)
        finally:
            await close_all_in_loop()
            _PROCESS.hurry_until = max(_PROCESS.hurry_until, time.monotonic() + _HURRY)

    shutdown_and_write._of_logcommon = True  # type: ignore[attr-defined]
    server.shutdown = shutdown_and_write


# SIGTERM


def _follow_sigterm() -> None:
    """Handle SIGTERM if nobody else does; once, so that a program can put the default back."""
    if "uwsgi" in sys.modules:
        return  # its handlers are set below Python, which takes them for the default
    with contextlib.suppress(ValueError):  # not the main interpreter
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Write what is pending; then do what the default action does.

    It may interrupt a call, even in the middle of a fold: a buffer has no lock to wait for.
    """
    if _PROCESS.terminating:
        return  # supervisors often send it twice, to the process and to its group
    _PROCESS.terminating = True
    try:
        close_all()
    finally:
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
