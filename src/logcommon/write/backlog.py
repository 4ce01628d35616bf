"""Between the buffer and Redis: batches get their numbers, and with a spool are on disk first."""

import asyncio
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVarTuple

import anyio

from logcommon.exceptions import SpoolError
from logcommon.runtime.atomic import Step, atomically
from logcommon.runtime.threads import outlast, run_in_thread
from logcommon.runtime.warnings import Alarm
from logcommon.stats import Ledger, Outcome
from logcommon.write.batch import Batch
from logcommon.write.buffer import Buffer
from logcommon.write.spool import Damage, Spool
from logcommon.write.transaction import TRANSACTION_SIZE

_COPY_INTERVAL = 1.0
"""Seconds between two copies of the buffer to the spool."""

_Arguments = TypeVarTuple("_Arguments")


class Backlog:
    """What has left the buffer and is not settled, in the order of its numbers.

    Args:
        buffer: Where batches come from.
        ledger: Where what becomes of them is entered.
        alarm: Warns when the spool can't be written to.
        spool: An open one, to be closed with the backlog; None to keep batches in memory alone.

    """

    def __init__(self, buffer: Buffer, ledger: Ledger, alarm: Alarm, spool: Spool | None) -> None:
        self._buffer = buffer
        self._ledger = ledger
        self._alarm = alarm
        self._spool = spool
        self._disk = anyio.Lock()
        self._batches: deque[Batch] = deque()
        self._number = self._settled = self._edition = 0
        self.session: str = secrets.token_hex(8)
        """Tells what this client sends from what others send under the same producer."""
        self.sessions: set[str] = {self.session}
        """Those that may have sent what is here: this one, and those that had the spool before."""
        self._producer = self._new_producer()
        if spool is not None:
            self._take_over(spool)

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def first(self) -> Batch:
        """The batch to settle next."""
        return self._batches[0]

    @property
    def calls(self) -> int:
        """How many counted calls all batches stand for."""
        return sum(batch.calls for batch in self._batches)

    def snapshot(self) -> Step:
        """Return the step that reads what is not settled, each batch that has been taken up."""
        return partial(tuple, self._batches)

    def inherited(self) -> "Backlog":
        """Return this, for another event loop, from one that was closed in the middle of it.

        The producer stays the same, so its marker tells what became of a batch in doubt.
        """
        self._disk = anyio.Lock()
        return self

    async def take_up(self, *, last: bool) -> None:
        """Take what the buffer has, the `last` time closing it; return once it may be sent."""
        if self._spool is None:
            self._drain(last=last)
            return
        # A copy of the buffer must not be taken before this and written after it.
        async with self._disk:
            await self._on_disk(self._drain_to, self._spool, last)

    def settle(self, outcome: Outcome) -> None:
        """Let go of the first batch, and enter what became of it.

        If it stays in doubt, another process writes under our producer: go on as a new one.
        """
        batch = self.first
        self._settled = batch.number
        atomically(self._batches.popleft, *self._ledger.adding(**outcome.amounts))
        if outcome.in_doubt and batch.producer == self._producer:
            self._producer = self._new_producer()

    async def tidy(self) -> None:
        """Take settled batches out of the spool, before their marker in Redis can expire."""
        if self._spool is not None:
            async with self._disk:
                await self._on_disk(self._spool.forget, self._settled)

    async def copy_regularly(self) -> None:
        """Keep a copy of the buffer in the spool, for as long as this runs."""
        while self._spool is not None:
            await anyio.sleep(_COPY_INTERVAL)
            async with self._disk:
                if self._spool is not None:  # it may have been closed while this waited
                    await self._on_disk(self._copy_to, self._spool)

    async def close(self, *, in_doubt: bool) -> None:
        """Close the buffer, and account for what is not settled: left in the spool, or dropped."""
        if self._spool is None:
            self._drain(last=True)
            self._account(in_doubt=in_doubt)
            return
        leaving = asyncio.create_task(self._leave(self._spool))
        try:
            await outlast(leaving)
        finally:
            if leaving.result():
                self._let_go(spooled=self.calls)
            else:
                self._account(in_doubt=in_doubt)

    def _account(self, *, in_doubt: bool) -> None:
        """Enter what is not settled as dropped, and warn of it."""
        calls, doubtful = self.calls, self.first.calls if in_doubt else 0
        self._let_go(dropped_unwritten=calls, in_doubt=doubtful)
        if calls:
            self._alarm.warn(
                "closed",
                f"closed with {calls} entries unwritten, {doubtful} of them in doubt; "
                f"the last fault was {self._ledger.last_error}",
            )

    def _let_go(self, **amounts: int) -> None:
        """Let go of everything, and enter what became of it."""
        atomically(self._batches.clear, *self._ledger.adding(**amounts))

    async def _leave(self, spool: Spool) -> bool:
        """Close the spool; return whether what is not settled is in it."""
        async with self._disk:
            left = await self._on_disk(self._drain_to, spool, True)  # noqa: FBT003
            await run_in_thread(spool.close)
            self._spool = None
        return left

    def _take_over(self, spool: Spool) -> None:
        """Begin with what an earlier process left."""
        self.session, self.sessions = spool.session, spool.sessions
        self._number = spool.number
        found = sum(batch.calls for batch in spool.found)
        atomically(
            partial(self._batches.extend, spool.found), *self._ledger.adding(recovered=found)
        )
        self._label_all()
        if spool.damage is not None:
            self._report_damage(spool.damage)

    def _report_damage(self, damage: Damage) -> None:
        # They may have been sent, so they may be in Redis.
        calls = damage.calls
        lost = self._ledger.adding(recovered=calls, dropped_unwritten=calls, in_doubt=calls)
        atomically(*lost)
        self._alarm.warn(
            "damaged",
            f"the spool was damaged: {damage.lines} of its records could not be read, with "
            f"{calls} entries that are known of; it is now {damage.aside}, and "
            f"{self.calls} entries that could be read are written",
        )

    def _new_producer(self) -> str:
        """Return an id that only this client makes batches for, whoever has a copy of the spool."""
        whose = uuid.uuid4().hex if self._spool is None else self._spool.producer
        return f"{whose}.{secrets.token_hex(8)}"

    def _drain(self, *, last: bool) -> None:
        self._edition += 1
        self._buffer.drain(TRANSACTION_SIZE, self._batches, last=last)
        self._label_all()

    def _drain_to(self, spool: Spool, last: bool) -> None:  # noqa: FBT001
        self._drain(last=last)
        spool.keep(tuple(self._batches))

    def _copy_to(self, spool: Spool) -> None:
        self._edition += 1
        waiting = self._buffer.copy(TRANSACTION_SIZE)
        for number, batch in enumerate(waiting, self._number + 1):
            self._label(batch, number)
        spool.copy(waiting, tuple(self._batches))

    def _label_all(self) -> None:
        for batch in self._batches:
            if not batch.number:  # else it was found in the spool with the one that it had
                self._label(batch, self._number + 1)
            self._number = max(self._number, batch.number)

    def _label(self, batch: Batch, number: int) -> None:
        batch.number, batch.producer, batch.edition = number, self._producer, self._edition

    async def _on_disk(self, write: Callable[[*_Arguments], None], *arguments: *_Arguments) -> bool:
        """Write to the spool, in a thread; return whether that was done."""
        try:
            await run_in_thread(write, *arguments)
        except SpoolError as error:
            self._ledger.last_error = str(error)
            self._alarm.warn(
                "spool",
                f"{error}; entries go to Redis all the same, but until there is room they are not "
                "kept if this process is killed",
            )
            return False
        return True
