"""Calls that wait until Redis has what they logged, in any event loop."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TypeAlias

from logcommon.exceptions import ClusterUnsupportedError, LogCommonError, NotWrittenError
from logcommon.model import Destination, Group, Severity, hour_of
from logcommon.write.buffer import Buffer

Call: TypeAlias = tuple[str, Severity, float | None]
"""A call's name and severity as they were given, and the time that its entry got; None if the entry
is for the recent log alone."""

_Future: TypeAlias = "asyncio.Future[None]"


class Waiters:
    """The futures of calls that wait, each with the call whose loss concerns it.

    A future is *new* until the buffer is drained after it was added. Then it is *due*: the entry
    that it waits for is among those being written.

    Args:
        buffer: Knows the destination of a call.

    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._new: dict[_Future, Call | None] = {}
        self._due: dict[_Future, Call | None] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._due)

    def add(self, future: _Future, call: Call | None) -> None:
        """Let `future` wait for everything that was put before; safe from any thread."""
        self._new[future] = call

    def discard(self, future: _Future) -> None:
        """Forget a future whose caller waits no longer, as after a deadline."""
        self._new.pop(future, None)
        self._due.pop(future, None)

    def make_due(self) -> None:
        """Make all new futures due; call this before the buffer is drained."""
        # Any thread may add a future meanwhile: it is then in the one dictionary or in the other.
        taken, self._new = self._new, {}
        self._due |= taken

    def resolve(self, losses: Mapping[Group | Destination, str]) -> None:
        """Resolve all due futures, with an error for those whose call was lost."""
        for future, call in list(self._due.items()):
            loss = self._loss(call, losses) if losses else None
            _resolve(future, None if loss is None else NotWrittenError(loss))
        self._due.clear()

    def fail(self, kind: type[NotWrittenError | ClusterUnsupportedError], text: str) -> None:
        """Resolve all futures, new ones included, with an error."""
        self.make_due()
        for future in list(self._due):
            _resolve(future, kind(text))
        self._due.clear()

    def _loss(self, call: Call | None, losses: Mapping[Group | Destination, str]) -> str | None:
        """Return why a call was not counted, None if it was."""
        if call is None:
            return None
        name, severity, logged_at = call
        destination = self._buffer.destination(name, severity)

        if logged_at is None:
            loss = losses.get(destination)
            return loss and f"the entry is not in the recent log: {loss}"
        loss = losses.get((destination, hour_of(logged_at)))
        return loss and f"the entry was not counted: {loss}"


def _resolve(future: _Future, error: LogCommonError | None) -> None:
    """Resolve a future in its own event loop, which need not be the writer's."""
    loop = future.get_loop()
    if loop is asyncio.get_running_loop():
        _set(future, error)
    else:
        with contextlib.suppress(RuntimeError):  # that loop is closed
            loop.call_soon_threadsafe(_set, future, error)


def _set(future: _Future, error: LogCommonError | None) -> None:
    if future.done():
        return  # the caller was cancelled
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
