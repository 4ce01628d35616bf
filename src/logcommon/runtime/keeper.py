"""A thread that keeps a client open, and answers for it to other threads."""

import _thread
import asyncio
import contextlib
import importlib
import threading
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias, TypeVar, TypeVarTuple

from logcommon.exceptions import LogCommonError

# What the thread would else import when it needs it. Should the process fork just then, the import
# would be half done in the child, and nobody there to end it.
for _module in ("anyio._backends._asyncio", "encodings.idna"):
    importlib.import_module(_module)

Outcome: TypeAlias = tuple[object, Exception | None]
"""What was returned, or raised."""

Reply: TypeAlias = Callable[[Outcome | None], None]

_Result = TypeVar("_Result")
_TURN = 0.1
"""Seconds after which a keeper looks again whether the one before it has ended."""

_Arguments = TypeVarTuple("_Arguments")


class Openable(Protocol):
    """A client that a keeper can keep open."""

    async def __aenter__(self) -> object:
        """Open the client."""

    async def _close(self, timeout: float) -> None:
        """Write what is pending within `timeout` seconds, and close the client."""


class Keeper:
    """Keeps a client open from its start until `close`; of many, one at a time.

    Callers may be interrupted by exceptions from signal handlers, and may be signal handlers. So
    they take no lock: whoever needs a keeper starts one, and the keepers settle among themselves
    which of them is to serve.

    Args:
        log: The client.
        timeout: Seconds that closing it may take, unless `close` says otherwise.
        turn: Holds the one that serves. All keepers of a client share it.
        opened: Called in the thread once the client is open.
        closing: Called in the thread before the client is closed.
        failed: Called in the thread with the error if the client can't be opened.

    """

    def __init__(
        self,
        log: Openable,
        timeout: float,
        turn: "dict[str, Keeper]",
        opened: "Callable[[Keeper], None]",
        closing: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._log = log
        self._turn = turn
        self._on_open = opened
        self._on_close = closing
        self._on_failure = failed
        # Made here, and not in the thread: it logs, for which it may need the lock of `logging`
        # that whoever configures `logging` anew holds while it waits for the thread to end.
        self.loop: asyncio.AbstractEventLoop = _Loop()
        self.closing: bool = False
        self._timeout = timeout
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._started = self._ended = False
        self._running = threading.Lock()
        self._running.acquire()
        self._served_in: int | None = None
        self._replies: set[Reply] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Start the thread; return False if there are no more, as at the interpreter's exit."""
        # An exception of a signal handler can leave locks of `threading` held for ever. So what
        # takes them runs in a thread as well, where no signal handler does.
        try:
            _thread.start_new_thread(self._start, ())
        except RuntimeError:
            self.loop.close()
            return False
        self._started = True
        return True

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; not if an exception came before it was started."""
        return self._started and not self._ended

    @property
    def serves(self) -> bool:
        """Whether what is logged from now on will be written, without a further keeper."""
        return self.is_alive and not self.closing

    def close(self, timeout: float) -> None:
        """Have the client write what is pending within `timeout` seconds; return at once."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(self._close, timeout)

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, for `timeout` seconds at most."""
        if not self.is_alive:
            return
        if self._running.acquire(timeout=max(0.0, timeout)):
            self._running.release()
            if self._thread is not None:
                self._thread.join(_TURN)  # it has nothing left to do

    def ask(self, question: Callable[[], Awaitable[object]], reply: Reply) -> None:
        """Call a coroutine function once the client is open, and `reply` with its outcome.

        Both are called in the thread. The outcome is None if the keeper ended before.
        """
        self._replies.add(reply)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self.loop.call_soon_threadsafe(self._begin_to_answer, question, reply)
        if self._ended:
            reply(None)

    def run(self) -> None:
        """Serve until closed, in this thread, unless another keeper does."""
        self._started = True
        try:
            if self._take_turn():
                self._serve_in_loop()
        finally:
            self._end()

    def run_here(self) -> None:
        """Write what is pending, in the thread of the caller: there are no others."""
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            self.run()
        finally:
            asyncio._set_running_loop(running)

    def _start(self) -> None:
        thread = threading.Thread(target=self.run, name="logcommon", daemon=True)
        self._started, self._thread = True, thread
        try:
            thread.start()
        except RuntimeError:  # there are no more
            self._thread = None
            self._end()

    def _end(self) -> None:
        self.loop.close()
        self._ended = True
        self._running.release()
        for reply in tuple(self._replies):
            reply(None)

    def _take_turn(self) -> bool:
        while True:
            other = self._turn.setdefault("serving", self)  # atomic
            if other is self:
                return True
            if not other.closing or other._served_in == threading.get_ident():
                return False
            other.join(_TURN)

    def _serve_in_loop(self) -> None:
        self._served_in = threading.get_ident()
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._serve())
        finally:
            self.closing = True
            del self._turn["serving"]

    async def _serve(self) -> None:
        try:
            await self._log.__aenter__()
        except (LogCommonError, RuntimeError) as error:  # the latter: no new process at the exit
            self._on_failure(error)
            return
        try:
            self._ready.set()
            self._on_open(self)
            await self._stop.wait()
        finally:
            await self._log._close(self._timeout)

    def _close(self, timeout: float) -> None:
        if not self.closing:
            self.closing = True
            self._timeout = timeout
            self._on_close()
            self._stop.set()

    def _begin_to_answer(self, question: Callable[[], Awaitable[object]], reply: Reply) -> None:
        task = self.loop.create_task(self._answer(question, reply))
        self._tasks.add(task)  # a loop has but weak references
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, question: Callable[[], Awaitable[object]], reply: Reply) -> None:
        await self._ready.wait()
        try:
            outcome: Outcome = await question(), None
        except Exception as error:  # noqa: BLE001  # it is for the one who asks
            outcome = None, error
        self._replies.discard(reply)
        reply(outcome)


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
