"""The task between the buffer and Redis: when to write, who waits for it, and how it ends."""

import asyncio
import contextlib
from typing import TypeAlias

import anyio
from redis.asyncio import Redis

from logcommon.exceptions import ClientClosedError, NotWrittenError
from logcommon.model import Destination, Group, Severity, hour_of
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write.alarm import Alarm
from logcommon.write.backlog import Backlog
from logcommon.write.buffer import Buffer
from logcommon.write.committer import Committer
from logcommon.write.spool import Spool

_FAREWELL = 1.0
"""Seconds for the last words to the server, once all is written."""


_Call: TypeAlias = tuple[str, Severity, float | None]
"""A call's name and severity as they were given, and the time that it got; None for a call that
counts nothing."""

_Waiter: TypeAlias = "tuple[asyncio.Future[None], _Call | None]"
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
        self._waiters: list[_Waiter] = []
        self._due: list[_Waiter] = []
        if abandoned is None:
            self._backlog = Backlog(buffer, ledger, self._alarm, spool)
        else:
            self._backlog = abandoned._backlog.inherited()
        self._leaves_marker = spool is not None
        self._losses: dict[Group | Destination, str] = {}
        self._loop = asyncio.get_running_loop()
        self._next_commit = float("-inf")
        self._closing = self._ended = False
        self._deadline = float("inf")
        self._scope: anyio.CancelScope | None = None
        buffer.open(self._wake)

    async def run(self, client: Redis) -> None:
        """Write until closed and drained, or past the deadline, or cancelled; then account for it.

        Cancelled, it still drains for as long as the drain may take.
        """
        producer = self._backlog.producer
        committer = Committer(client, self._settings, self._ledger, self._alarm, producer)
        try:
            with anyio.CancelScope(deadline=self._deadline) as self._scope:
                await self._write_until_closed(committer)
        except BaseException:
            self._closing = True
            with anyio.move_on_after(self._settings.drain_timeout, shield=True):
                await self._write_until_closed(committer)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(in_doubt=committer.in_doubt)
            with anyio.move_on_after(_FAREWELL, shield=True):
                await committer.close(forget=not self._leaves_marker)

    async def copy_regularly(self) -> None:
        """Keep a copy of the buffer in the spool, where there is one, for as long as this runs."""
        await self._backlog.copy_regularly()

    def close(self, timeout: float) -> None:
        """Have `run` write what is pending and end, within `timeout` seconds."""
        self._closing = True
        self._deadline = anyio.current_time() + timeout
        if self._scope is not None:
            self._scope.deadline = self._deadline
        self._wanted.set()

    def written(self, call: _Call | None = None) -> "asyncio.Future[None]":
        """Return a future that is done when everything put before this is in Redis.

        It raises NotWrittenError where `call` was not counted, or the writer ended meanwhile.

        Raises:
            ClientClosedError: The writer has ended.

        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiters.append((future, call))
        if self._ended:
            raise ClientClosedError("the client is closed: nothing is written any more")
        if loop is self._loop:
            self._wanted.set()
        else:
            self._wake()
        return future

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
        while not (self._closing or self._waiters or self._backlog):
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
        self._due += _take(self._waiters)
        await self._backlog.take_up(last=last)
        while self._backlog:
            outcome = await committer.settle(self._backlog.first)
            self._backlog.settled()
            self._note(outcome)
        for future, call in self._due:
            self._settle(future, self._loss(call) if self._losses else None)
        self._due.clear()
        self._losses.clear()
        await self._backlog.tidy()

    def _note(self, outcome: Outcome) -> None:
        """Enter what became of a batch, and warn of what was refused."""
        self._ledger.add(outcome)
        self._losses |= outcome.errors
        if outcome.failure:
            self._alarm.warn(
                "refused",
                f"Redis refused a part of a commit: {outcome.failure}; what concerns that key is "
                "dropped until it is deleted, all else is written",
            )

    async def _end(self, *, in_doubt: bool) -> None:
        """Account for what is not written, and tell those who wait for it."""
        self._ended = True
        try:
            await self._backlog.close(in_doubt=in_doubt)
        finally:
            for future, _ in self._due + _take(self._waiters):
                self._settle(future, "the client was closed before Redis was known to have it")

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

    def _settle(self, future: "asyncio.Future[None]", error: str | None) -> None:
        """Settle a future in its own loop, which need not be the writer's."""
        loop = future.get_loop()
        if loop is self._loop:
            _set(future, error)
        else:
            with contextlib.suppress(RuntimeError):  # it is closed: nobody waits in it any more
                loop.call_soon_threadsafe(_set, future, error)


def _take(waiters: list[_Waiter]) -> list[_Waiter]:
    # Any thread may append meanwhile. Taken before the buffer is drained: what each of them waits
    # for is then among what is drained.
    taken = waiters[:]
    del waiters[: len(taken)]
    return taken


def _set(future: "asyncio.Future[None]", error: str | None) -> None:
    if future.done():
        return  # whoever waited was cancelled
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(NotWrittenError(error))
