"""What a client has while it is open: a writer in a task of its own, and a reader."""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio import Redis

from logcommon.exceptions import ClientClosedError
from logcommon.read.reader import Reader
from logcommon.runtime.threads import wait_shielded
from logcommon.write.waiters import Call
from logcommon.write.writer import Writer

_CHECK_INTERVAL = 1.0
"""Seconds between checks that the client's event loop was not closed: nothing signals it."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Session:
    """What a client has while it is open; it belongs to the event loop of its task."""

    client: Redis
    reader: Reader
    writer: Writer
    task: "asyncio.Task[None]"
    """Runs the writer: a task of its own, so that a client may be opened in one task and closed in
    another, as frameworks do."""

    @classmethod
    def start(cls, client: Redis, reader: Reader, writer: Writer) -> "Session":
        """Return a session whose writer runs in the current event loop."""
        task = asyncio.create_task(_run(writer, client), name="logcommon")
        return cls(client, reader, writer, task)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the session belongs to."""
        return self.task.get_loop()

    @property
    def is_here(self) -> bool:
        """Whether the session belongs to the running event loop."""
        return self.loop is asyncio.get_running_loop()

    @property
    def is_abandoned(self) -> bool:
        """Whether the event loop was closed before the session ended, so that it never will."""
        return not self.task.done() and self.loop.is_closed()

    @property
    def is_running(self) -> bool:
        """Whether the session writes."""
        return not self.task.done() and not self.loop.is_closed()

    async def close(self, timeout: float) -> None:
        """Write what is pending within `timeout` seconds, even if cancelled, and end the task."""
        self.writer.close(timeout)
        try:
            await wait_shielded(self.task)
        finally:
            _report_failure(self.task)

    def flush(self, call: Call | None = None) -> Awaitable[None]:
        """Wait as `Writer.flush` does, from any event loop."""
        flushed = self.writer.flush(call)
        return flushed if self.is_here else self._await_elsewhere(asyncio.ensure_future(flushed))

    async def read(self, rows: Coroutine[Any, Any, _Result]) -> _Result:
        """Read in the session's event loop, also for a caller in another one."""
        if self.is_here:
            return await rows
        future = asyncio.run_coroutine_threadsafe(rows, self.loop)
        return await self._await_elsewhere(asyncio.wrap_future(future))

    async def _await_elsewhere(self, future: "asyncio.Future[_Result]") -> _Result:
        """Await, in another event loop, a future that the session's loop completes.

        Raises:
            ClientClosedError: The session's event loop was closed meanwhile.

        """
        try:
            while not future.done():
                was_closed = self.loop.is_closed()
                await asyncio.wait([future], timeout=_CHECK_INTERVAL)
                if was_closed and not future.done():
                    raise ClientClosedError("the client's event loop was closed: open it again")
        finally:
            future.cancel()
        return future.result()


async def _run(writer: Writer, client: Redis) -> None:
    copying = asyncio.create_task(writer.copy_regularly())

    with contextlib.suppress(asyncio.CancelledError):
        try:
            await writer.run(client)
        except Exception as error:  # noqa: BLE001  # it is raised again
            raise _exit_behind(error) or error  # noqa: B904  # its context is right already
        finally:
            copying.cancel()
            await asyncio.wait([copying])
            _report_failure(copying)


def _exit_behind(error: BaseException) -> SystemExit | KeyboardInterrupt | None:
    """Return the SystemExit or KeyboardInterrupt that caused `error`, if one did.

    If a signal handler raises it while anyio enters a scope, the scope around that raises a
    RuntimeError instead. That would end one task only, and the program would never end.
    """
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, SystemExit | KeyboardInterrupt):
        behind = behind.__context__
    return behind


def _report_failure(task: "asyncio.Task[None]") -> None:
    """Report the error of a task, unless it has ended the event loop already."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        context = {"message": f"{task.get_name()} has failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
