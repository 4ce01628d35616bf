"""Batches between the buffer and Redis: numbered, and with a spool on disk before they are sent."""

import asyncio
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVarTuple

import anyio

from logcommon.exceptions import SpoolError
from logcommon.runtime.atomic import Step
from logcommon.runtime.threads import run_in_thread, wait_shielded
from logcommon.stats import Outcome
from logcommon.write.batch import BATCH_SIZE, Batch, calls_of
from logcommon.write.buffer import Buffer
from logcommon.write.reporter import Reporter
from logcommon.write.spool import Spool

_COPY_INTERVAL = 1.0
"""Seconds between two copies of the buffer to the spool."""

_Arguments = TypeVarTuple("_Arguments")


class Backlog:
    """The batches that are not settled: drained from the buffer, and not yet known to be in Redis.

    Args:
        buffer: Where batches come from.
        reporter: Accounts for what becomes of them.
        spool: An open one, to be closed with the backlog; None to keep batches in memory alone.

    """

    def __init__(self, buffer: Buffer, reporter: Reporter, spool: Spool | None) -> None:
        self._buffer = buffer
        self._reporter = reporter
        self._spool = spool
        self._disk = anyio.Lock()
        self._batches: deque[Batch] = deque()
        self._last_number = self._last_settled = self._edition = 0

        self.session: str = secrets.token_hex(8)
        """Tells what this client sends from what others send under the same producer."""
        self.sessions: set[str] = {self.session}
        """Those that may have sent these batches: this one, and those that had the spool before."""
        self._producer = self._new_producer()

        if spool is not None:
            self._recover(spool)

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def first(self) -> Batch:
        """The batch to commit next."""
        return self._batches[0]

    @property
    def calls(self) -> int:
        """How many counted calls all batches stand for."""
        return calls_of(self._batches)

    def read_step(self) -> Step:
        """Return the step that reads all batches."""
        return partial(tuple, self._batches)

    def rebind(self) -> None:
        """Go on in the running event loop, if the one before was closed in the middle of it.

        The producer stays the same, so its marker shows what became of a batch in doubt.
        """
        self._disk = anyio.Lock()

    async def drain_buffer(self, *, last: bool) -> None:
        """Take what the buffer has, and close it the `last` time; return once it may be sent."""
        self._buffer.seal(last=last)
        await self._learn_templates()
        if self._spool is None:
            self._move()
            return
        # A copy of the buffer must not be made before this and written after it.
        async with self._disk:
            await self._on_disk(self._move_to, self._spool)

    def remove_first(self, outcome: Outcome) -> None:
        """Remove the first batch, which is settled, and account for it."""
        batch = self.first
        self._last_settled = batch.number
        self._reporter.add(self._batches.popleft, **outcome.amounts)

        # If it stays in doubt, another process writes as our producer: go on as a new one.
        if outcome.in_doubt and batch.producer == self._producer:
            self._producer = self._new_producer()

    async def trim_spool(self) -> None:
        """Remove settled batches from the spool, before their marker in Redis can expire."""
        if self._spool is not None:
            async with self._disk:
                await self._on_disk(self._spool.remove, self._last_settled)

    async def copy_regularly(self) -> None:
        """Keep a copy of the buffer in the spool, for as long as this runs."""
        while self._spool is not None:
            await anyio.sleep(_COPY_INTERVAL)
            await self._learn_templates()
            async with self._disk:
                if self._spool is not None:  # it may have been closed while this waited
                    await self._on_disk(self._copy_to, self._spool)

    async def close(self, *, in_doubt: bool) -> None:
        """Close the buffer; leave what is not settled in the spool, or drop it.

        `in_doubt` says whether the first batch may be in Redis.
        """
        self._buffer.seal(last=True)
        if self._spool is None:
            self._move()
            self._drop(in_doubt=in_doubt)
            return

        leaving = asyncio.create_task(self._close_spool(self._spool))
        try:
            await wait_shielded(leaving)
        finally:
            if leaving.result():
                self._reporter.add(self._batches.clear, spooled=self.calls)
            else:
                self._drop(in_doubt=in_doubt)

    async def _learn_templates(self) -> None:
        for _ in self._buffer.learn_templates():
            await asyncio.sleep(0)

    def _drop(self, *, in_doubt: bool) -> None:
        calls, doubtful = self.calls, self.first.calls if in_doubt else 0
        self._reporter.add(self._batches.clear, dropped_unwritten=calls, in_doubt=doubtful)
        if calls:
            self._reporter.unwritten(calls, doubtful)

    async def _close_spool(self, spool: Spool) -> bool:
        """Close the spool; return whether what is not settled is in it."""
        async with self._disk:
            is_spooled = await self._on_disk(self._move_to, spool)
            await run_in_thread(spool.close)
            self._spool = None
        return is_spooled

    def _recover(self, spool: Spool) -> None:
        """Begin with what an earlier process left in the spool."""
        self.session, self.sessions = spool.session, spool.sessions
        self._last_number = spool.last_number
        self._reporter.add(
            partial(self._batches.extend, spool.found), recovered=calls_of(spool.found)
        )
        self._label_all()
        if spool.damage is not None:
            self._reporter.damaged_spool(spool.damage, self.calls)

    def _new_producer(self) -> str:
        """Return an id that only this client makes batches for, even if the spool was copied."""
        prefix = uuid.uuid4().hex if self._spool is None else self._spool.producer
        return f"{prefix}.{secrets.token_hex(8)}"

    def _move(self) -> None:
        self._edition += 1
        self._buffer.move(BATCH_SIZE, self._batches)
        self._label_all()

    def _move_to(self, spool: Spool) -> None:
        self._move()
        spool.store(tuple(self._batches))

    def _copy_to(self, spool: Spool) -> None:
        self._edition += 1
        waiting = self._buffer.copy(BATCH_SIZE)
        for number, batch in enumerate(waiting, self._last_number + 1):
            self._label(batch, number)
        spool.store_copy(waiting, tuple(self._batches))

    def _label_all(self) -> None:
        for batch in self._batches:
            if not batch.number:  # a batch from the spool has its number already
                self._label(batch, self._last_number + 1)
            self._last_number = max(self._last_number, batch.number)

    def _label(self, batch: Batch, number: int) -> None:
        batch.number, batch.producer, batch.edition = number, self._producer, self._edition

    async def _on_disk(self, write: Callable[[*_Arguments], None], *arguments: *_Arguments) -> bool:
        """Write to the spool, in a thread; return whether that succeeded."""
        try:
            await run_in_thread(write, *arguments)
        except SpoolError as error:
            self._reporter.spool_error(error)
            return False
        return True
