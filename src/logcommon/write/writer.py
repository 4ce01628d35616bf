"""The task that writes what a buffer holds: when to commit, and how it ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from redis.asyncio import Redis

from logcommon.exceptions import ClientClosedError, ClusterUnsupportedError, NotWrittenError
from logcommon.model import Destination, Group
from logcommon.runtime.atomic import Step
from logcommon.settings import Settings
from logcommon.stats import Ledger
from logcommon.write.backlog import Backlog
from logcommon.write.buffer import Buffer
from logcommon.write.committer import Committer
from logcommon.write.pace import Pace
from logcommon.write.reporter import Reporter
from logcommon.write.spool import Spool
from logcommon.write.waiters import Call, Waiters

_CLUSTER_DELAY = 1.0
"""Seconds until writing to a node of a Redis Cluster is tried again."""

_DISCONNECT_TIMEOUT = 1.0
"""Seconds for deleting the marker and disconnecting, once all is written."""

_CANCELLATION_DELAY = 1.0
"""Seconds from the cancellation of a writer to the warning that its client is still open."""

_RESTART_DELAY = 0.5
"""Seconds until a writer that has failed is started again."""


class Writer:
    """Writes what a buffer holds, for as long as `run` runs, and accounts for it in a ledger.

    It belongs to the running event loop, and opens the buffer.

    Args:
        buffer: Where entries come from.
        ledger: Counts what becomes of them.
        settings: Time limits and bounds.
        spool: An open one, or None.
        abandoned: A writer whose event loop was closed before it had ended. This one goes on where
            that one stopped, with the same spool.

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
        self._settings = settings
        self._reporter = Reporter(ledger, settings)
        self._wanted = asyncio.Event()
        self._waiters = Waiters(buffer)

        self._committer: Committer | None = None
        if abandoned is None:
            self._backlog = Backlog(buffer, self._reporter, spool)
        else:
            self._backlog, self._committer = abandoned.hand_over()
        self._leaves_marker = spool is not None

        self._losses: dict[Group | Destination, str] = {}
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(settings.linger, settings.max_linger)
        self._next_commit = float("-inf")
        self._closing = self._close_called = self._ended = False
        self._deadline = float("inf")
        self._scope: anyio.CancelScope | None = None

        buffer.open(self._wake)
        self._dropped_before = buffer.numbers().dropped

    def hand_over(self) -> tuple[Backlog, Committer | None]:
        """Return what a writer in the running event loop needs to go on in place of this one."""
        self._backlog.rebind()
        return self._backlog, self._committer

    async def run(self, client: Redis) -> None:
        """Write until closed and drained, or past the deadline, or cancelled; then account for it.

        If cancelled, it still drains, for as long as a drain may take.
        """
        committer = self._committer = self._committer_for(client)
        write = partial(self._write_until_closed, committer)

        try:
            with anyio.CancelScope(deadline=self._deadline) as self._scope:
                await self._keep_running(write)
        except BaseException:
            self._closing = True
            # Not at once: at the end of a loop all tasks are cancelled, and that is no fault.
            self._loop.call_later(_CANCELLATION_DELAY, self._warn_if_open)
            with anyio.move_on_after(self._settings.drain_timeout, shield=True):
                await self._keep_running(write)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(committer)
            with anyio.move_on_after(_DISCONNECT_TIMEOUT, shield=True):
                await committer.close(delete_marker=not self._leaves_marker)

    async def copy_regularly(self) -> None:
        """Keep a copy of the buffer in the spool, if there is one, for as long as this runs."""
        await self._keep_running(self._backlog.copy_regularly)

    def close(self, timeout: float) -> None:
        """Make `run` write what is pending and end, within `timeout` seconds."""
        self._closing = self._close_called = True
        self._deadline = anyio.current_time() + timeout
        if self._scope is not None:
            self._scope.deadline = self._deadline
        self._wanted.set()

    async def flush(self, call: Call | None = None) -> None:
        """Wait until everything put before this is in Redis; safe in any event loop.

        Raises:
            ClientClosedError: The writer has ended.
            NotWrittenError: `call` was not counted, or the writer ended meanwhile.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiters.add(future, call)
        if self._ended:
            self._waiters.discard(future)
            raise ClientClosedError("the client is closed: nothing is written any more")
        if loop is self._loop:
            self._wanted.set()
        else:
            self._wake()

        try:
            await future
        except asyncio.CancelledError:
            self._waiters.discard(future)  # else calls with deadlines would pile up
            raise

    def read_step(self) -> Step:
        """Return the step that reads the batches that have left the buffer and are not settled."""
        return self._backlog.read_step()

    def _committer_for(self, client: Redis) -> Committer:
        if self._committer is not None:
            self._committer.rebind(client)
            return self._committer
        session, sessions = self._backlog.session, self._backlog.sessions
        return Committer(client, self._settings, self._reporter, session, sessions)

    async def _keep_running(self, work: Callable[[], Awaitable[None]]) -> None:
        """Await `work`, and restart it after an unexpected error."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # whatever it is, entries are still waiting
                self._reporter.restart(error)
                await anyio.sleep(_RESTART_DELAY)
            else:
                return

    def _wake(self) -> None:
        """Set the writer's event, from any thread."""
        if not self._ended:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wanted.set)

    async def _write_until_closed(self, committer: Committer) -> None:
        while not self._closing:
            await self._wait_until_due()
            await self._write_pending(committer)
        await self._write_pending(committer)
        # Once more for what was logged meanwhile. Threads that log endlessly don't delay the end.
        await self._write_pending(committer, last=True)

    async def _wait_until_due(self) -> None:
        """Wait for entries, and then for the linger to end unless a call waits for a commit."""
        while not (self._closing or self._waiters or self._backlog):
            left = self._next_commit - anyio.current_time()
            self._wanted.clear()
            if self._buffer.request_wake():
                await self._wanted.wait()
            elif self._buffer.is_half_full:
                break
            elif left <= 0:
                delay = self._pace.delay_at_the_hour()
                if not delay:
                    break
                self._next_commit = anyio.current_time() + delay
            else:
                with anyio.move_on_after(left):
                    await self._wanted.wait()

        self._next_commit = anyio.current_time() + self._pace.linger

    async def _write_pending(self, committer: Committer, *, last: bool = False) -> None:
        """Write everything pending. If cancelled, the next call writes the rest."""
        self._waiters.make_due()
        await self._backlog.drain_buffer(last=last)

        while self._backlog:
            began = anyio.current_time()
            try:
                outcome = await committer.commit(self._backlog.first)
            except ClusterUnsupportedError as error:
                # What was logged is kept until the close, but waiting for it is useless.
                self._wanted.clear()
                self._waiters.fail(ClusterUnsupportedError, str(error))
                if self._closing:
                    return
                with anyio.move_on_after(_CLUSTER_DELAY):
                    await self._wanted.wait()
            else:
                self._pace.committed(anyio.current_time() - began)
                self._backlog.remove_first(outcome)
                self._reporter.outcome(outcome)
                self._losses |= outcome.errors

        self._waiters.resolve(self._losses)
        self._losses.clear()
        await self._backlog.trim_spool()

    async def _end(self, committer: Committer) -> None:
        """Account for what is not written, and fail the calls that wait for it."""
        self._ended = True
        try:
            committer.drop_replays()
            await self._backlog.close(in_doubt=committer.in_doubt)
        finally:
            self._waiters.fail(
                NotWrittenError, "the client was closed before Redis was known to have it"
            )
            self._warn_of_drops()

    def _warn_if_open(self) -> None:
        if not self._close_called:
            self._reporter.cancelled_writer()

    def _warn_of_drops(self) -> None:
        """Warn with the next call if it will be dropped, or now if one was dropped already."""
        if not self._buffer.is_closed:
            return
        # This keeps the reporter alive, and not the writer.
        warn = self._reporter.dropped_calls
        self._buffer.call_on_next_put(warn)
        if self._buffer.numbers().dropped > self._dropped_before:
            warn()
