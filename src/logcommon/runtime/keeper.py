"""A thread that keeps a client open, and runs coroutines there for other threads."""

import _thread
import asyncio
import contextlib
import importlib
import threading
import time
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import Protocol, TypeAlias, TypeVar, TypeVarTuple, cast

from logcommon.exceptions import ClientClosedError, LogCommonError

# Otherwise the thread would import these later. If the process forked during such an import, the
# import would stay half done in the child, which has no thread to finish it.
for _module in ("anyio._backends._asyncio", "encodings.idna"):
    importlib.import_module(_module)

Completion: TypeAlias = tuple[object, Exception | None]
"""What a coroutine returned or raised."""

Callback: TypeAlias = Callable[[Completion | None], None]
"""Called with a completion; with None if the keeper ended before there was one."""

Work: TypeAlias = Callable[[], Awaitable[object]]

_CHECK_INTERVAL = 0.1
"""Seconds between checks whether the active keeper has ended."""

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Openable(Protocol):
    """A client that a keeper can keep open."""

    async def __aenter__(self) -> object:
        """Open the client."""

    async def close_within(self, timeout: float) -> None:
        """Write what is pending within `timeout` seconds, and close the client."""


class Keeper:
    """Keeps a client open in a thread, from `start` until `close`.

    Any thread or signal handler that needs a keeper may start one, and may itself be interrupted by
    a signal handler that raises. So no locks are taken to prevent a second one. Instead only one
    keeper of a client becomes the active one; the others end at once.

    Args:
        log: The client.
        timeout: Seconds that closing it may take, unless `close` says otherwise.
        active: Holds the active keeper. All keepers of a client share it.
        on_open: Called in the thread once the client is open.
        on_close: Called in the thread before the client is closed.
        on_failure: Called in the thread with the error if the client can't be opened.

    """

    def __init__(
        self,
        log: Openable,
        timeout: float,
        active: "dict[str, Keeper]",
        on_open: "Callable[[Keeper], None]",
        on_close: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._log = log
        self._timeout = timeout
        self._active = active
        self._on_open = on_open
        self._on_close = on_close
        self._on_failure = on_failure

        # Not made in the thread: asyncio logs when it makes a loop. For that the thread might wait
        # for the lock of `logging`, held by a caller that is configuring `logging` and waits for
        # the thread.
        self.loop: asyncio.AbstractEventLoop = _Loop()
        self.closing: bool = False

        self._stop = asyncio.Event()
        self._is_open = asyncio.Event()
        self._started = self._ended = False
        self._running = threading.Lock()
        self._running.acquire()
        self._active_in: int | None = None
        self._callbacks: set[Callback] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Start the thread; return False if no thread can be started, as at Python's exit."""
        # A signal handler that raises can leave locks of `threading` locked for ever. So what takes
        # them runs in another thread, where Python runs no signal handlers.
        try:
            _thread.start_new_thread(self._start, ())
        except RuntimeError:
            self.loop.close()
            return False
        self._started = True
        return True

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs. It never did if an exception came before it was started."""
        return self._started and not self._ended

    @property
    def is_available(self) -> bool:
        """Whether what is logged from now on will be written by this keeper."""
        return self.is_alive and not self.closing

    def close(self, timeout: float) -> None:
        """Tell the client to write what is pending within `timeout` seconds; return at once."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(self._close, timeout)

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, for `timeout` seconds at most."""
        if not self.is_alive:
            return
        if self._running.acquire(timeout=max(0.0, timeout)):
            self._running.release()
            if self._thread is not None:
                self._thread.join(_CHECK_INTERVAL)  # it has nothing left to do

    def submit(self, work: Work, callback: Callback) -> None:
        """Call a coroutine function once the client is open, and `callback` with its completion.

        Both are called in the thread.
        """
        self._callbacks.add(callback)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(self._start_work, work, callback)
        if self._ended:
            callback(None)

    def call(self, work: Callable[[], Awaitable[_Result]], deadline: float) -> _Result:
        """Call `work` once the client is open, and return its result; block until then.

        Raises:
            ClientClosedError: The keeper ended before there was a result.
            TimeoutError: There was no result by `deadline`, by the monotonic clock.
            Exception: What `work` raised.

        """
        # In C: it takes no lock of Python's.
        completions: SimpleQueue[Completion | None] = SimpleQueue()
        self.submit(work, completions.put)
        left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        try:
            completion = completions.get(timeout=left)
        except Empty:
            raise TimeoutError from None

        if completion is None:
            raise ClientClosedError("the client was closed meanwhile")
        result, error = completion
        if error is not None:
            raise error
        return cast("_Result", result)

    def run(self) -> None:
        """Keep the client open until closed, in this thread, unless another keeper does."""
        self._started = True
        try:
            if self._become_active():
                self._run_loop()
        finally:
            self._end()

    def run_here(self) -> None:
        """Write what is pending in the caller's thread, if no other can be started."""
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            self.run()
        finally:
            asyncio._set_running_loop(running)

    def _start(self) -> None:  # pragma: no cover  # in a thread of `_thread`, which is not traced
        thread = threading.Thread(target=self.run, name="logcommon", daemon=True)
        self._started, self._thread = True, thread
        try:
            thread.start()
        except RuntimeError:  # no more threads can be started
            self._thread = None
            self._end()

    def _end(self) -> None:
        self.loop.close()
        self._ended = True
        self._running.release()
        for callback in tuple(self._callbacks):
            callback(None)

    def _become_active(self) -> bool:
        """Become the active keeper, waiting for one that is closing; return False if one stays."""
        while True:
            other = self._active.setdefault("keeper", self)  # atomic
            if other is self:
                return True
            if not other.closing or other._active_in == threading.get_ident():
                return False
            other.join(_CHECK_INTERVAL)

    def _run_loop(self) -> None:
        self._active_in = threading.get_ident()
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._keep_open())
        finally:
            self.closing = True
            del self._active["keeper"]

    async def _keep_open(self) -> None:
        try:
            await self._log.__aenter__()
        except (LogCommonError, RuntimeError) as error:  # RuntimeError: no new process at exit
            self._on_failure(error)
            return

        try:
            self._is_open.set()
            self._on_open(self)
            await self._stop.wait()
        finally:
            await self._log.close_within(self._timeout)

    def _close(self, timeout: float) -> None:
        if not self.closing:
            self.closing = True
            self._timeout = timeout
            self._on_close()
            self._stop.set()

    def _start_work(self, work: Work, callback: Callback) -> None:
        task = self.loop.create_task(self._work(work, callback))
        self._tasks.add(task)  # the loop itself has only weak references
        task.add_done_callback(self._tasks.discard)

    async def _work(self, work: Work, callback: Callback) -> None:
        await self._is_open.wait()
        try:
            completion: Completion = await work(), None
        except Exception as error:  # noqa: BLE001  # `call` raises it for the caller
            completion = None, error
        self._callbacks.discard(callback)
        callback(completion)


class _Loop(asyncio.SelectorEventLoop):
    """Runs blocking functions, such as host lookups, in its own thread instead of a worker thread.

    It serves only one client, and at Python's exit no thread can be started.
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
        except Exception as error:  # noqa: BLE001  # it is raised where the future is awaited
            called.set_exception(error)
        return called
