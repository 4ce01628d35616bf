"""A client for programs that run no event loop of their own: a thread keeps it open."""

import asyncio
import concurrent.futures
import contextlib
import importlib
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, TypeVarTuple

from logcommon.client import CommonLog, connect
from logcommon.exceptions import InvalidArgumentError, LogCommonError
from logcommon.fork import begin_anew_in_children
from logcommon.model import Severity
from logcommon.settings import Settings
from logcommon.stats import Stats

# What the thread would else import when it needs it. Should the process fork just then, the import
# would be half done in the child, and nobody there to end it.
for _module in ("anyio._backends._asyncio", "encodings.idna"):
    importlib.import_module(_module)

_LOGGER = logging.getLogger("logcommon")

_FAREWELL = 2.0
"""Seconds that the thread may take to end, besides the time that its client may take."""

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class BackgroundLog:
    """A client that the first call opens in a thread; safe from any thread, and after a fork.

    Args:
        url: Where to connect; as for `connect`.
        settings: Keyword arguments of `connect`.

    Raises:
        InvalidArgumentError: The URL or a setting can't be used.

    """

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        self._log = connect(url, **settings)
        self._patience = settings.get("drain_timeout", Settings().drain_timeout) + _FAREWELL
        self._begin()
        begin_anew_in_children(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._closed = False
        vars(self).pop("log_common_nowait", None)

    def log_common_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Count a message, as the client's method of this name does."""
        self._log.log_common_nowait(name, message, severity)
        if self._thread is None:
            self._start()

    @property
    def stats(self) -> Stats:
        """What has become of every call so far."""
        return self._log.stats

    async def opened(self) -> CommonLog:
        """Return the client, from any event loop, as soon as the thread has opened it.

        If the thread can't open it, the client is returned as it is.
        """
        if not self._log._is_open:
            self._start()
            if self._thread is not None:
                await asyncio.wait([asyncio.wrap_future(self._started)])
        return self._log

    async def written(self) -> None:
        """Wait, in any event loop, until Redis has it all, but no longer than a drain may take."""
        with contextlib.suppress(LogCommonError, TimeoutError):
            async with asyncio.timeout(self._patience):
                if self._log.stats.pending:
                    await (await self.opened()).flush()

    def close(self) -> None:
        """Write what is pending, within the time that a drain may take; then calls are dropped."""
        self._closed = True
        # Not for ever: a signal handler may have interrupted the one who has the lock.
        held = self._lock.acquire(timeout=_FAREWELL)
        try:
            if self._thread is None:
                self._end_here()
                return
        finally:
            if held:
                self._lock.release()
        with contextlib.suppress(RuntimeError):  # the loop, or the thread, has ended already
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(self._patience)

    def _start(self) -> None:
        # Who does not get the lock leaves it to the one who has it, and goes on.
        if self._closed or not self._lock.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                self._start_thread()
        finally:
            self._lock.release()

    def _start_thread(self) -> None:
        try:
            # Made here, and not in the thread: it logs, for which it may need the lock of `logging`
            # that whoever configures `logging` anew holds while it waits for the thread to end.
            loop = self._loop = self._loop or _Loop()
            self._thread = threading.Thread(
                target=self._run, args=(loop,), name="logcommon", daemon=True
            )
            self._thread.start()
        except (OSError, RuntimeError):  # there are no more; at the interpreter's exit, none at all
            self._thread = None
        else:
            # From now on calls need not look whether there is a thread.
            self.log_common_nowait = self._log.log_common_nowait  # type: ignore[method-assign]
            _call_at_end_of_multiprocessing(self.close)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            async with self._log:
                self._started.set_result(None)
                await self._stop.wait()
        except (LogCommonError, RuntimeError) as error:  # the latter: no new process at the exit
            _LOGGER.warning("nothing is written: %s", error)
        finally:
            if not self._started.done():
                self._started.set_result(None)

    def _end_here(self) -> None:
        """Write what is pending in the thread of the caller, as there is no other."""
        if self._log.stats.pending:
            self._stop.set()
            self._run(self._loop or _Loop())
        else:
            self._log._buffer.drain(1, last=True)  # to drop, and count, what comes from now on
            if self._loop is not None:
                self._loop.close()

    def _begin_in_child(self) -> object:
        """Be, in a forked process, one that has no thread yet.

        Its copy of the parent's loop must not be closed here, which would take the parent's
        connections out of its selector.
        """
        loop = self._loop
        self._begin()
        return loop


class _Loop(asyncio.SelectorEventLoop):
    """Calls at once what else would be called in a thread, as to look up a host or to write a file.

    Nobody else waits for this loop, and at the interpreter's exit there are no new threads.
    """

    def run_in_executor(
        self,
        executor: object,
        func: Callable[[*_Arguments], _Result],
        *args: *_Arguments,
    ) -> asyncio.Future[_Result]:
        called: asyncio.Future[_Result] = self.create_future()
        try:
            called.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it is for the one who waits for it
            called.set_exception(error)
        return called


OURS = frozenset({"asyncio", "logcommon", "redis"})
"""Loggers, with all below them, through which writing to Redis may log."""


def as_log(
    target: "str | CommonLog | BackgroundLog", settings: Mapping[str, Any]
) -> CommonLog | BackgroundLog:
    """Return a client that is the caller's as it is; for a URL, one in the background.

    Raises:
        InvalidArgumentError: The URL or a setting can't be used; or there are settings for a client
            that has its own.

    """
    if not isinstance(target, CommonLog | BackgroundLog):
        return BackgroundLog(target, settings)
    if settings:
        raise InvalidArgumentError(
            f"a client has its settings from connect(): give {', '.join(settings)} there"
        )
    return target


def _call_at_end_of_multiprocessing(close: Callable[[], None]) -> None:
    """Have it called at the end of a child of `multiprocessing`, where `logging` shuts nothing."""
    if "multiprocessing.util" in sys.modules:  # else this is no such child
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(None, close, exitpriority=0)
