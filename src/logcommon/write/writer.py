"""The task between the buffer and Redis: when to write, who waits for it, and how it ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import anyio
from redis.asyncio import Redis

from logcommon.exceptions import ClientClosedError, ClusterUnsupportedError, NotWrittenError
from logcommon.messages.origin import origin_of
from logcommon.model import Destination, Group, Severity, hour_of
from logcommon.runtime.atomic import Step
from logcommon.runtime.warnings import Alarm
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write.account import warn_of
from logcommon.write.backlog import Backlog
from logcommon.write.buffer import Buffer
from logcommon.write.committer import Committer
from logcommon.write.spool import Spool

_CLUSTER_PAUSE = 1.0
"""Seconds until it is tried again to write to a server that is one of a cluster."""

_FAREWELL = 1.0
"""Seconds for the last words to the server, once all is written."""

_PATIENCE = 1.0
"""Seconds until a writer that was cancelled is missed."""

_PAUSE = 0.5
"""Seconds until a writer that has failed is started again."""

_DROPS = "drops"
"""The kind of a warning: one of these is enough."""

_Call: TypeAlias = tuple[str, Severity, float | None]
"""A call's name and severity as they were given, and the time that it got; None for a call that
counts nothing."""

_Waiters: TypeAlias = "dict[asyncio.Future[None], _Call | None]"
"""Who waits until what was put before is in Redis, and the call whose loss concerns them."""


class Writer:
    """Writes what a buffer holds, for as long as `run` runs, and accounts for it in a ledger.

    It belongs to the event loop in which it is made, and opens the buffer.
    """

    def __init__(
        self,
        buffer: Buffer,
        ledger: Ledger,
        settings: Settings,
        spool: Spool | None = None,
        abandoned: "Writer | None" = None,
    ) -> None:
        self._buffer = buffer
        self._ledger = ledger
        self._settings = settings
        self._alarm = Alarm()
        self._wanted = asyncio.Event()
        self._waiters: _Waiters = {}
        self._due: _Waiters = {}
        if abandoned is None:
            self._backlog = Backlog(buffer, ledger, self._alarm, spool)
        else:
            self._backlog = abandoned._backlog.inherited()
        self._committer: Committer | None = abandoned._committer if abandoned else None
        self._leaves_marker = spool is not None
        self._losses: dict[Group | Destination, str] = {}
        self._loop = asyncio.get_running_loop()
        self._next_commit = float("-inf")
        self._closing = self._left = self._ended = False
        self._deadline = float("inf")
        self._scope: anyio.CancelScope | None = None
        buffer.open(self._wake)
        self._dropped_before = buffer.numbers().dropped

    async def run(self, client: Redis) -> None:
        """Write until closed and drained, or past the deadline, or cancelled; then account for it.

        If cancelled, it still drains, for as long as a drain may take.
        """
        if self._committer is None:
            session, sessions = self._backlog.session, self._backlog.sessions
            self._committer = Committer(
                client, self._settings, self._ledger, self._alarm, session, sessions
            )
        else:
            self._committer = self._committer.inherited(client)
        committer = self._committer
        write = partial(self._write_until_closed, committer)
        try:
            with anyio.CancelScope(deadline=self._deadline) as self._scope:
                await self._keep_on(write)
        except BaseException:
            self._closing = True
            # Not at once: at the end of the loop all tasks are cancelled, and that is no fault.
            self._loop.call_later(_PATIENCE, self._warn_if_open)
            with anyio.move_on_after(self._settings.drain_timeout, shield=True):
                await self._keep_on(write)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(committer)
            with anyio.move_on_after(_FAREWELL, shield=True):
                await committer.close(forget=not self._leaves_marker)

    async def copy_regularly(self) -> None:
        """Keep a copy of the buffer in the spool, if there is one, for as long as this runs."""
        await self._keep_on(self._backlog.copy_regularly)

    async def _keep_on(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` to its end, starting again after an unexpected error: nobody else would."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # whatever it is, entries are still waiting
                self._ledger.restarts += 1
                self._ledger.last_error = origin_of(error)
                self._alarm.warn(
                    "restart",
                    f"the writer failed with an unexpected error, and is started again: "
                    f"{self._ledger.last_error}; please report it",
                )
                await anyio.sleep(_PAUSE)
            else:
                return

    def _warn_if_open(self) -> None:
        if not self._left:
            self._alarm.warn(
                _DROPS,
                "the task that writes to Redis was cancelled, and the client is still open: what "
                "is logged is dropped; close the client before cancelling all tasks",
            )

    def _watch_for_drops(self) -> None:
        """Warn once of what is logged from now on, and now if something was already."""
        # Without a reference to this writer, which nobody needs any more.
        warn = partial(
            self._alarm.warn,
            _DROPS,
            "what is logged is dropped: its client was closed, or the task that writes was "
            "cancelled; close it last, or use logcommon.background",
        )
        self._buffer.tell_of_next(warn)
        if self._buffer.numbers().dropped > self._dropped_before:
            warn()

    def close(self, timeout: float) -> None:
        """Have `run` write what is pending and end, within `timeout` seconds."""
        self._closing = self._left = True
        self._deadline = anyio.current_time() + timeout
        if self._scope is not None:
            self._scope.deadline = self._deadline
        self._wanted.set()

    def snapshot(self) -> Step:
        """Return the step that reads the batches that have left the buffer and are not settled."""
        return self._backlog.snapshot()

    async def write(self, call: _Call | None = None) -> None:
        """Wait until everything put before this is in Redis.

        Raises:
            ClientClosedError: The writer has ended.
            NotWrittenError: `call` was not counted, or the writer ended meanwhile.

        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiters[future] = call
        if self._ended:
            self._forget(future)
            raise ClientClosedError("the client is closed: nothing is written any more")
        if loop is self._loop:
            self._wanted.set()
        else:
            self._wake()

        try:
            await future
        except asyncio.CancelledError:
            self._forget(future)  # whoever gave up, as at a deadline, must not be remembered
            raise

    def _forget(self, future: "asyncio.Future[None]") -> None:
        self._waiters.pop(future, None)
        self._due.pop(future, None)

    def _wake(self) -> None:
        """Set the writer's event, from any thread."""
        if not self._ended:
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody writes any more
                self._loop.call_soon_threadsafe(self._wanted.set)

    async def _write_until_closed(self, committer: Committer) -> None:
        while not self._closing:
            await self._until_wanted()
            await self._write(committer)
        await self._write(committer)
        # What was logged meanwhile is the last: threads that log for ever don't keep this going.
        await self._write(committer, last=True)

    async def _until_wanted(self) -> None:
        """Wait for entries, and then out the linger unless somebody waits for a commit."""
        # After an unexpected error, those who waited then are due.
        while not (self._closing or self._waiters or self._due or self._backlog):
            left = self._next_commit - anyio.current_time()
            self._wanted.clear()
            if self._buffer.sleep():
                await self._wanted.wait()
            elif left <= 0 or self._buffer.crowded:
                break
            else:
                with anyio.move_on_after(left):
                    await self._wanted.wait()
        self._next_commit = anyio.current_time() + self._settings.linger

    async def _write(self, committer: Committer, *, last: bool = False) -> None:
        """Write all that is pending. What a cancellation leaves is there for the next call."""
        self._due |= self._take_waiters()
        await self._backlog.take_up(last=last)
        while self._backlog:
            try:
                outcome = await committer.settle(self._backlog.first)
            except ClusterUnsupportedError as error:
                self._refuse(error)
                if self._closing:
                    return
                with anyio.move_on_after(_CLUSTER_PAUSE):
                    await self._wanted.wait()
                continue
            self._backlog.settle(outcome)
            self._note(outcome)
        for future, call in list(self._due.items()):
            self._settle(future, self._loss(call) if self._losses else None)
        self._due.clear()
        self._losses.clear()
        await self._backlog.tidy()

    def _refuse(self, error: ClusterUnsupportedError) -> None:
        """Tell those who wait that waiting is in vain; what they logged is kept until the close."""
        self._wanted.clear()
        for future in self._due | self._take_waiters():
            self._settle(future, error)
        self._due.clear()

    def _note(self, outcome: Outcome) -> None:
        """Warn of entries of a batch that were not counted, and keep why."""
        self._ledger.last_error = outcome.failure or self._ledger.last_error
        warn_of(outcome, self._alarm, self._settings)
        self._losses |= outcome.errors

    async def _end(self, committer: Committer) -> None:
        """Account for what is not written, and tell those who wait for it."""
        self._ended = True
        try:
            committer.give_up()
            await self._backlog.close(in_doubt=committer.in_doubt)
        finally:
            for future in self._due | self._take_waiters():
                self._settle(future, "the client was closed before Redis was known to have it")
            if self._buffer.is_closed:
                self._watch_for_drops()

    def _take_waiters(self) -> _Waiters:
        # Taken before the buffer is drained: what each of them waits for is then among what is
        # drained. Any thread may add to them meanwhile, which is no more than one bytecode.
        taken, self._waiters = self._waiters, {}
        return taken

    def _loss(self, call: _Call | None) -> str | None:
        """Return why a call was not counted, None where it was."""
        if call is None:
            return None
        name, severity, now = call
        destination = self._buffer.destination(name, severity)
        if now is None:
            loss = self._losses.get(destination)
            return loss and f"the entry is not in the recent log: {loss}"
        loss = self._losses.get((destination, hour_of(now)))
        return loss and f"the entry was not counted: {loss}"

    def _settle(
        self, future: "asyncio.Future[None]", error: str | ClusterUnsupportedError | None
    ) -> None:
        """Settle a future in its own loop, which need not be the writer's."""
        loop = future.get_loop()
        if loop is self._loop:
            _set(future, error)
        else:
            with contextlib.suppress(RuntimeError):  # it is closed: nobody waits in it any more
                loop.call_soon_threadsafe(_set, future, error)


def _set(future: "asyncio.Future[None]", error: str | ClusterUnsupportedError | None) -> None:
    if future.done():
        return  # whoever waited was cancelled
    if error is None:
        future.set_result(None)
    else:
        kind = NotWrittenError if isinstance(error, str) else ClusterUnsupportedError
        future.set_exception(kind(str(error)))
