"""A client for programs without an event loop: a thread keeps it open."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableSequence
from datetime import datetime
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from logcommon.client import CommonLog, connect
from logcommon.exceptions import (
    ClientClosedError,
    InvalidArgumentError,
    LogCommonError,
    NotWrittenError,
)
from logcommon.model import RECENT_LENGTH, CommonRow, Destination, RecentRow, Severity
from logcommon.runtime import ending
from logcommon.runtime.fork import begin_anew_in_children
from logcommon.runtime.keeper import Keeper, Outcome
from logcommon.runtime.warnings import Alarm
from logcommon.settings import Settings
from logcommon.stats import Stats
from logcommon.write.batch import Batch
from logcommon.write.buffer import Buffer

_FAREWELL = 2.0
"""Seconds that the thread may take to end, besides the time that its client may take."""

_PAUSE = 1.0
"""Seconds until a client that could not be opened is tried again, and for which one that could not
write does not make the next one wait for the same."""

_RESIGNATION = 60.0
"""Seconds for which nothing is waited for at the end of a process that could not write."""

_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")


class BackgroundLog:
    """A client for programs without an event loop; made by `background`.

    The first call opens it in a thread of its own. It is safe from any thread, in signal handlers
    and after a fork, and is flushed when the process ends. After `close` the next call opens it
    again.

    Args:
        url: Where to connect; as for `connect`.
        settings: Keyword arguments of `connect`.

    Raises:
        InvalidArgumentError: The URL or a setting can't be used.

    """

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        if not isinstance(url, str):
            raise InvalidArgumentError(
                f"a client in the background takes a URL, not {type(url).__name__}: a "
                "redis.asyncio client belongs to its event loop, so use logcommon.connect there"
            )
        checked = connect(url, **settings).settings
        self._log = CommonLog(url, checked, buffer=_OpenBuffer)
        self._drain_timeout = checked.drain_timeout
        self.patience = checked.drain_timeout + _FAREWELL
        """Seconds that `close` may take."""
        self._alarm = Alarm()
        self._begin()
        begin_anew_in_children(self)
        ending.prepare()

    def _begin(self) -> None:
        self._keepers: set[Keeper] = set()
        self._turn: dict[str, Keeper] = {}
        self._not_before = self._gave_up_at = float("-inf")
        self._go_slow()

    def __enter__(self) -> Self:
        """Open the client; it need not be waited for."""
        self._require_keeper()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def __repr__(self) -> str:
        return f"<logcommon.BackgroundLog for {self._log._target}>"

    # While the thread runs, an attribute takes the place of this method.
    def log_common_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Count `message`, and log it as recent; returns at once.

        Args:
            name: The service.
            message: The message.
            severity: A `logging` level, or any text.

        Raises:
            InvalidArgumentError: The name, the message or the severity can't be used.

        """
        self._log.log_common_nowait(name, message, severity)
        self._called()

    def log_recent_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Put `message` on the recent log without counting it; else as `log_common_nowait`."""
        self._log.log_recent_nowait(name, message, severity)
        self._called()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged before this call is in Redis; return whether it is.

        Args:
            timeout: Seconds to wait at most, None for `drain_timeout`.

        """
        deadline = time.monotonic() + (self._drain_timeout if timeout is None else timeout)
        while self._log.stats.pending:
            try:
                self._ask(self._log.flush, deadline)
            except NotWrittenError:  # another thread closed the client meanwhile
                continue
            except (TimeoutError, ClientClosedError):
                self._gave_up_at = time.monotonic()
                return False
            return True
        return True

    @property
    def settings(self) -> Settings:
        """The settings that the client was made with."""
        return self._log.settings

    @property
    def stats(self) -> Stats:
        """What has become of every call so far."""
        return self._log.stats

    def top(
        self,
        name: str,
        severity: Severity = logging.INFO,
        n: int = 10,
        hour: datetime | None = None,
    ) -> list[CommonRow]:
        """Return the `n` most common messages of an hour, as `CommonLog.top` does."""
        return self._ask(lambda: self._log.top(name, severity, n, hour))

    def recent(
        self, name: str, severity: Severity = logging.INFO, n: int = RECENT_LENGTH
    ) -> list[RecentRow]:
        """Return the `n` newest entries, as `CommonLog.recent` does."""
        return self._ask(lambda: self._log.recent(name, severity, n))

    def destinations(self) -> list[Destination]:
        """Return every destination that was logged to, as `CommonLog.destinations` does."""
        return self._ask(self._log.destinations)

    def hours(self, name: str, severity: Severity = logging.INFO) -> list[datetime]:
        """Return the hours that have counts, as `CommonLog.hours` does."""
        return self._ask(lambda: self._log.hours(name, severity))

    def close(self) -> None:
        """Write what is pending, for `drain_timeout` seconds at most, and end the thread.

        Call it again or not at all: the process closes it when it ends. A later call opens it.
        """
        self.begin_close()
        patience = _FAREWELL if self._has_just_given_up() else self.patience
        self.finish_close(time.monotonic() + patience)

    # For an event loop, in which nothing may block

    async def opened(self) -> CommonLog:
        """Return the client once it is open; as it is if it can't be opened."""
        keeper = None if self._log.is_open else self._require_keeper()
        if keeper is not None:
            replied, loop = asyncio.Event(), asyncio.get_running_loop()

            def reply(_: Outcome | None) -> None:
                with contextlib.suppress(RuntimeError):  # that loop is closed
                    loop.call_soon_threadsafe(replied.set)

            keeper.ask(_nothing, reply)
            await replied.wait()
        return self._log

    async def written(self) -> None:
        """Wait until what was logged is in Redis, no longer than a drain may take."""
        with contextlib.suppress(TimeoutError, LogCommonError):
            async with asyncio.timeout(self._drain_timeout):
                if self._log.stats.pending:
                    await (await self.opened()).flush()

    # For the end of the process

    def begin_close(self) -> None:
        """Begin to write what is pending, and return at once."""
        if self._log.stats.pending:
            self._require_keeper()
        timeout = 0.0 if self._has_just_given_up() else self._drain_timeout
        for keeper in self._known_keepers():
            keeper.close(timeout)

    def is_closing(self) -> bool:
        """Whether the thread still runs."""
        return any(keeper.is_alive for keeper in self._known_keepers())

    def finish_close(self, deadline: float) -> None:
        """Wait until what is pending is written, until that monotonic time at most."""
        self._join(deadline)
        if self._log.stats.pending and time.monotonic() < deadline:
            self.begin_close()  # after an exception in the middle of a start something may be left
            self._join(deadline)
        if self._log.stats.pending and not self.is_closing():
            self._write_here()
        if not self._log.stats.pending:
            ending.closed(self)

    def _join(self, deadline: float) -> None:
        for keeper in self._known_keepers():
            keeper.join(deadline - time.monotonic())
            if not keeper.is_alive:
                self._keepers.discard(keeper)

    def _known_keepers(self) -> set[Keeper]:
        return {*self._turn.values(), *tuple(self._keepers)}

    def _called(self) -> None:
        """See to it that what was logged will be written."""
        if ending.in_hurry():
            self._write_now()
            return
        keeper = self._require_keeper()
        if keeper is not None and ending.prepare():
            with contextlib.suppress(RuntimeError):  # its loop has ended
                keeper.loop.call_soon_threadsafe(self._go_fast, keeper)

    def _require_keeper(self) -> Keeper | None:
        """Return the one that serves, or that will; None if there can't be one now."""
        for keeper in self._known_keepers():
            if keeper.serves:
                return keeper
        if time.monotonic() < self._not_before:
            return None
        ending.close_at_end(self)
        try:
            keeper = self._keeper()
        except OSError:  # there are too many open files
            return None
        self._keepers.add(keeper)
        return keeper if keeper.start() else None

    def _keeper(self) -> Keeper:
        return Keeper(
            self._log,
            self._drain_timeout,
            self._turn,
            self._go_fast,
            self._go_slow,
            self._failed,
        )

    # These are called in the thread, one after the other.

    def _go_fast(self, keeper: Keeper) -> None:
        """Have calls go straight to the buffer while there is a thread."""
        if ending.prepare() and not keeper.closing:
            self.log_common_nowait = self._log.log_common_nowait  # type: ignore[method-assign]

    def _go_slow(self) -> None:
        """Have calls look again whether there is a thread."""
        vars(self).pop("log_common_nowait", None)

    def _failed(self, error: Exception) -> None:
        self._not_before = time.monotonic() + _PAUSE
        self._alarm.warn("open", f"nothing is written: {error}")

    def _write_now(self) -> None:
        """Write what is pending before returning: the process may end at any moment."""
        before = self._log.stats
        self.close()
        after = self._log.stats
        if after.pending or (after.dropped, after.spooled) != (before.dropped, before.spooled):
            self._gave_up_at = time.monotonic() + _RESIGNATION

    def _write_here(self) -> None:
        """Write what is pending in the thread of the caller, as there is no other."""
        with contextlib.suppress(OSError, RuntimeError):
            keeper = self._keeper()
            keeper.close(0.0 if self._has_just_given_up() else self._drain_timeout)
            keeper.run_here()

    def _has_just_given_up(self) -> bool:
        return time.monotonic() - self._gave_up_at < _PAUSE

    def _ask(
        self, question: Callable[[], Awaitable[_Result]], deadline: float = float("inf")
    ) -> _Result:
        """Return what a coroutine function returns that is called where the client is open."""
        replies: SimpleQueue[Outcome | None] = SimpleQueue()  # takes no lock of Python's
        while (keeper := self._require_keeper()) is not None:
            keeper.ask(question, replies.put)
            outcome = _first(replies, deadline)
            if outcome is not None and not isinstance(outcome[1], ClientClosedError):
                result, error = outcome
                if error is not None:
                    raise error
                return cast("_Result", result)
        raise ClientClosedError("the client can't be opened: the logger `logcommon` says why")

    def _begin_in_child(self) -> object:
        """Have no thread, in a forked process.

        The copies of the parent's loops must not be closed here, which would take the parent's
        connections out of their selectors.
        """
        parents = list(self._keepers)
        self._begin()
        return parents


class _OpenBuffer(Buffer):
    """Keeps what is logged after it was drained for the last time until it is opened again."""

    _drained = False

    def open(self, wake: Callable[[], None]) -> None:
        super().open(wake)
        self._drained = False

    def drain(self, batch_size: int, onto: MutableSequence[Batch], *, last: bool = False) -> None:
        if not self._drained:
            self._drained = last
            super().drain(batch_size, onto)


def _like(
    _: Callable[_Parameters, CommonLog],
) -> Callable[[Callable[..., BackgroundLog]], Callable[_Parameters, BackgroundLog]]:
    """Give a function the parameters of another."""
    return lambda function: function


@_like(connect)
def background(
    target: str = "redis://localhost:6379/0",
    **settings: Any,
) -> BackgroundLog:
    """Return a client for programs without an event loop.

    Use it as `with logcommon.background("redis://…") as log:`, or leave it open: it is flushed when
    the process ends. Nothing is sent before the first call, which starts a thread that writes.

    Args:
        target: A URL, as for `connect`.
        settings: All that `connect` takes.

    Raises:
        InvalidArgumentError: The URL or a setting can't be used.

    """
    return BackgroundLog(target, settings)


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
    refuse(settings)
    return target


def refuse(settings: Mapping[str, Any]) -> None:
    """Raise InvalidArgumentError if there are settings for a client that has its own."""
    if settings:
        raise InvalidArgumentError(
            f"a client is given its settings where it is made: give {', '.join(settings)} there"
        )


def _first(replies: "SimpleQueue[Outcome | None]", deadline: float) -> Outcome | None:
    left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
    try:
        return replies.get(timeout=left)
    except Empty:
        raise TimeoutError from None


async def _nothing() -> None:
    """Ask nothing, but wait until there is an answer."""
