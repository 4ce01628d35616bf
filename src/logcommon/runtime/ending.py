"""The end of the process: clients that still have something to write are closed in time.

Programs end in many ways, and `atexit` covers only some of them. Nothing here blocks for longer
than closing may take, and the exit status of the process stays what it would have been.
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

from logcommon.runtime import fork

_AFTER_SERVER = 1.0
"""Seconds after a server has ended in which the process is likely to end too."""


class ClosedAtExit(Protocol):
    """A client that may have something to write when the process ends."""

    close_timeout: float
    """Seconds that closing it may take."""

    def begin_close(self) -> None:
        """Begin to write what is pending, and return at once."""

    def is_closing(self) -> bool:
        """Whether it is still being closed."""

    def finish_close(self, deadline: float) -> None:
        """Wait until it is closed, or until `deadline` by the monotonic clock."""


class _State:
    """What this process has to close, and how far it has got with ending."""

    def __init__(self) -> None:
        self.clients: set[ClosedAtExit] = set()
        self._reset()
        fork.reset_in_children(self)

    def _reset(self) -> None:
        self.clients.clear()
        self.is_hooked = False
        self.finalizers: list[object] = []
        self.write_at_once_until = 0.0
        self.is_terminating = False

    def reset_after_fork(self) -> None:
        fork.keep_alive(list(self.clients))
        self._reset()


_STATE = _State()


def close_at_exit(client: ClosedAtExit) -> None:
    """Close `client` when the process ends, unless `forget` is called before."""
    _STATE.clients.add(client)


def forget(client: ClosedAtExit) -> None:
    """Don't close `client` when the process ends: it has nothing to write."""
    _STATE.clients.discard(client)


def must_write_at_once() -> bool:
    """Whether the process is ending, so that a call has to write before it returns."""
    return time.monotonic() < _STATE.write_at_once_until


def install_exit_hooks() -> bool:
    """Install hooks for every way in which this process may end; return whether all are installed.

    Only the main thread can handle signals: call this from there as long as it returns False.
    """
    if _STATE.is_hooked:
        return True
    _hook_uvicorn()
    _hook_celery()
    _hook_multiprocessing()
    if threading.current_thread() is threading.main_thread():
        _hook_sigterm()
        _STATE.is_hooked = True
    return _STATE.is_hooked


def close_all() -> None:
    """Close all clients, at the same time."""
    clients, deadline = _begin_to_close_all()
    for client in clients:
        client.finish_close(deadline)


async def close_all_in_loop() -> None:
    """Close all clients like `close_all`, without blocking the event loop."""
    clients, deadline = _begin_to_close_all()
    while any(client.is_closing() for client in clients):  # in threads of their own
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(0.005)

    for client in clients:
        client.finish_close(time.monotonic())


def _begin_to_close_all() -> tuple[list[ClosedAtExit], float]:
    clients = list(_STATE.clients)
    for client in clients:
        client.begin_close()
    timeout = max((client.close_timeout for client in clients), default=0.0)
    return clients, time.monotonic() + timeout


def _end(**_: object) -> None:
    """Close all clients, and write at once from now on: each call may be the last."""
    _STATE.write_at_once_until = float("inf")
    close_all()


atexit.register(_end)


# Ends that skip Python's exit handlers


def _hook_multiprocessing() -> None:
    """Close clients in a child of `multiprocessing`, which runs finalizers but not `atexit`."""
    if "multiprocessing.util" in sys.modules and not _STATE.finalizers:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            _STATE.finalizers.append(util.Finalize(None, _end, exitpriority=0))


def _hook_celery() -> None:
    """Close clients in a worker of Celery, which sends a signal of Celery's but skips `atexit`."""
    signals = sys.modules.get("celery.signals")
    shutdown = getattr(signals, "worker_process_shutdown", None)
    if shutdown is not None:
        shutdown.connect(_end, weak=False, dispatch_uid="logcommon")


def _hook_uvicorn() -> None:
    """Close clients after uvicorn's `shutdown`: it then raises its signal again, which is fatal."""
    server: Any = getattr(sys.modules.get("uvicorn.server"), "Server", None)
    shutdown = getattr(server, "shutdown", None)
    if shutdown is None or hasattr(shutdown, "_closes_logcommon"):
        return

    @functools.wraps(shutdown)
    async def shutdown_and_write(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return await shutdown(*args, **kwargs)
        finally:
            await close_all_in_loop()
            _STATE.write_at_once_until = max(
                _STATE.write_at_once_until, time.monotonic() + _AFTER_SERVER
            )

    shutdown_and_write._closes_logcommon = True  # type: ignore[attr-defined]
    server.shutdown = shutdown_and_write


# SIGTERM


def _hook_sigterm() -> None:
    """Handle SIGTERM if the program doesn't. Only once, so that it can restore the default."""
    if "uwsgi" in sys.modules:
        return  # it sets its handlers in C, which Python shows as the default
    with contextlib.suppress(ValueError):  # this is a subinterpreter
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)


def _terminate(  # pragma: no cover  # the process ends here, and with it what coverage measured
    signum: int, frame: FrameType | None
) -> None:
    """Write what is pending, then let the default action end the process.

    This may interrupt a call at any point. It can't block on it: a buffer has no locks.
    """
    if _STATE.is_terminating:
        return  # supervisors often send SIGTERM to the process and to its group
    _STATE.is_terminating = True
    try:
        close_all()
    finally:
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
