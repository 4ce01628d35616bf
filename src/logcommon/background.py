"""A client for programs without an event loop: a thread of its own keeps it open."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from logcommon.alerts import check_alerts
from logcommon.client import CommonLog, connect
from logcommon.exceptions import (
    ClientClosedError,
    InvalidArgumentError,
    LogCommonError,
    NotWrittenError,
    ServerUnavailableError,
)
from logcommon.model import (
    RECENT_LENGTH,
    Change,
    CommonRow,
    Comparison,
    Destination,
    Mark,
    Mute,
    RecentRow,
    Series,
    Severity,
    Summary,
)
from logcommon.read.summary import Order
from logcommon.read.windows import Before
from logcommon.runtime import ending, fork
from logcommon.runtime.keeper import Completion, Keeper
from logcommon.runtime.keepers import Keepers
from logcommon.runtime.warnings import RateLimitedWarnings
from logcommon.server.target import Target
from logcommon.settings import Settings
from logcommon.stats import Stats
from logcommon.write.buffer import Buffer

_THREAD_TIMEOUT = 2.0
"""Seconds that the thread may take to end, in addition to those for closing its client."""

_GIVEN_UP_FOR = 1.0
"""Seconds after a failed flush in which closing does not wait."""

_GIVEN_UP_AT_EXIT_FOR = 60.0
"""Seconds after a failed write at the end of the process in which nothing waits."""

_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")


class BackgroundLog:
    """A client for programs without an event loop; made by `background`.

    The first call opens it in a thread of its own. It can be used from any thread, in signal
    handlers and after a fork, and it is flushed when the process ends. After `close` the next call
    opens it again.

    Args:
        url: Where to connect, as for `connect`.
        settings: Keyword arguments of `connect`.

    Raises:
        InvalidArgumentError: The URL or a setting can't be used.

    """

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        if not isinstance(url, str):
            raise InvalidArgumentError(
                f"a background client takes a URL, not {type(url).__name__}: a redis.asyncio "
                "client belongs to its event loop, so use logcommon.connect there"
            )

        self._settings = Settings(**settings)
        self._buffer = _ReopenableBuffer(self._settings)
        self._log = _KeptLog(url, self._settings, self._buffer)
        self._address = str(Target(url))
        self._drain_timeout = self._settings.drain_timeout
        self.close_timeout: float = self._drain_timeout + _THREAD_TIMEOUT
        """Seconds that `close` may take."""

        self._warnings = RateLimitedWarnings()
        self._keepers = Keepers(
            self._log, self._drain_timeout, self._use_fast_path, self._use_slow_path, self._warn
        )
        self._reset()
        fork.reset_in_children(self)
        ending.install_exit_hooks()

    def _reset(self) -> None:
        self._is_fast = False
        """Whether a call only appends to the buffer: a keeper is there, and all exit hooks are."""
        self._given_up_until = float("-inf")

    def __enter__(self) -> Self:
        """Open the client, without waiting for it."""
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
        return f"<logcommon.BackgroundLog for {self._address}>"

    def log_common_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Count `message` and put it on the recent log; return at once.

        Args:
            name: The service.
            message: The message.
            severity: A `logging` level, or any text.

        Raises:
            InvalidArgumentError: The name, the message or the severity can't be used.

        """
        self._buffer.put(name, message, severity)
        if not self._is_fast:
            self._ensure_written()

    def log_recent_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Put `message` on the recent log, uncounted; otherwise like `log_common_nowait`."""
        self._buffer.put_recent(name, message, severity)
        if not self._is_fast:
            self._ensure_written()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged before this call is in Redis; return whether it is.

        Args:
            timeout: Seconds to wait at most; None for `drain_timeout`.

        """
        deadline = time.monotonic() + (self._drain_timeout if timeout is None else timeout)
        before = _unwritten(self._log.stats)

        while self._log.stats.pending:
            try:
                self._call_in_thread(self._log.flush, deadline)
                break
            except NotWrittenError:  # another thread closed the client meanwhile
                continue
            except (TimeoutError, ClientClosedError):
                self._given_up_until = time.monotonic() + _GIVEN_UP_FOR
                return False

        return _unwritten(self._log.stats) == before

    @property
    def settings(self) -> Settings:
        """The settings that the client was made with."""
        return self._settings

    @property
    def stats(self) -> Stats:
        """What has become of every call so far."""
        return self._log.stats

    def top(
        self,
        name: str | None,
        severity: Severity | None = logging.INFO,
        n: int = 10,
        hour: datetime | None = None,
        *,
        merge: bool | None = False,
    ) -> list[CommonRow]:
        """Return the `n` most common messages of an hour, as `CommonLog.top` does."""
        return self._call_in_thread(lambda: self._log.top(name, severity, n, hour, merge=merge))

    def compare(
        self,
        name: str | None = None,
        severity: Severity | None = None,
        n: int = 20,
        *,
        after: datetime | None = None,
        before: Before = None,
        since: str | datetime | None = None,
        merge: bool | None = None,
    ) -> Comparison:
        """Return the `n` largest changes, as `CommonLog.compare` does."""
        return self._call_in_thread(
            lambda: self._log.compare(
                name, severity, n, after=after, before=before, since=since, merge=merge
            )
        )

    def summary(
        self,
        name: str | None = None,
        severity: Severity | None = None,
        n: int = 10,
        hour: datetime | None = None,
        *,
        by: Order = "count",
        text: str | None = None,
        merge: bool | None = None,
    ) -> Summary | None:
        """Return the messages of an hour with their shares and changes, as `CommonLog` does."""
        return self._call_in_thread(
            lambda: self._log.summary(name, severity, n, hour, by=by, text=text, merge=merge)
        )

    def changes(
        self,
        name: str | None = None,
        severity: Severity | None = None,
        *,
        interval: float = 10.0,
        at_least: float = 1.5,
        least: int = 5,
    ) -> Iterator[Change]:
        """Yield each message that is new, back or rising, as `CommonLog.changes` does."""
        check_alerts(interval, at_least, least)
        while True:
            with contextlib.suppress(ServerUnavailableError):
                yield from self._call_in_thread(
                    lambda: self._log.take_changes(name, severity, at_least, least)
                )
            time.sleep(interval)

    def series(
        self, message: str, name: str | None, severity: Severity | None = logging.INFO
    ) -> Series:
        """Return how often a message was counted hour by hour, as `CommonLog.series` does."""
        return self._call_in_thread(lambda: self._log.series(message, name, severity))

    def histories(self, rows: Sequence[CommonRow]) -> list[Series]:
        """Return how often each row's message was counted, as `CommonLog.histories` does."""
        return self._call_in_thread(lambda: self._log.histories(rows))

    def mark(self, text: str) -> Mark:
        """Note that something happens now, as `CommonLog.mark` does."""
        return self._call_in_thread(lambda: self._log.mark(text))

    def marks(self) -> list[Mark]:
        """Return the marks that were noted, as `CommonLog.marks` does."""
        return self._call_in_thread(self._log.marks)

    def mute(
        self,
        message: str,
        seconds: float | None = 7 * 86_400,
        *,
        until_rises: float | None = None,
    ) -> Mute:
        """Mute a message, as `CommonLog.mute` does."""
        return self._call_in_thread(
            lambda: self._log.mute(message, seconds, until_rises=until_rises)
        )

    def unmute(self, message: str) -> bool:
        """Unmute a message; return whether it was muted."""
        return self._call_in_thread(lambda: self._log.unmute(message))

    def mutes(self) -> list[Mute]:
        """Return the mutes that are not over, the oldest first."""
        return self._call_in_thread(self._log.mutes)

    def recent(
        self,
        name: str | None,
        severity: Severity | None = logging.INFO,
        n: int = RECENT_LENGTH,
    ) -> list[RecentRow]:
        """Return the `n` newest entries, as `CommonLog.recent` does."""
        return self._call_in_thread(lambda: self._log.recent(name, severity, n))

    def destinations(self) -> list[Destination]:
        """Return every destination that was logged to, as `CommonLog.destinations` does."""
        return self._call_in_thread(self._log.destinations)

    def hours(self, name: str | None, severity: Severity | None = logging.INFO) -> list[datetime]:
        """Return the hours that have counts, as `CommonLog.hours` does."""
        return self._call_in_thread(lambda: self._log.hours(name, severity))

    def minutes(
        self, name: str | None = None, severity: Severity | None = None, hours: int = 2
    ) -> dict[Destination, dict[datetime, int]]:
        """Return how many calls were counted in each minute, as `CommonLog.minutes` does."""
        return self._call_in_thread(lambda: self._log.minutes(name, severity, hours))

    def hours_by_destination(self) -> dict[Destination, list[datetime]]:
        """Return the hours of every destination, as `CommonLog.hours_by_destination` does."""
        return self._call_in_thread(self._log.hours_by_destination)

    def close(self) -> None:
        """Write what is pending, for `drain_timeout` seconds at most, and end the thread.

        Calling this is optional: the process does so when it ends. A later call opens the client
        again.
        """
        self.begin_close()
        timeout = _THREAD_TIMEOUT if self._has_just_given_up() else self.close_timeout
        self.finish_close(time.monotonic() + timeout)

    # For event loops, which must not be blocked

    async def open_async(self) -> CommonLog:
        """Return the client once it is open or can't be opened."""
        keeper = None if self._log.is_open else self._require_keeper()
        if keeper is not None:
            opened, loop = asyncio.Event(), asyncio.get_running_loop()

            def wake(_: Completion | None) -> None:
                with contextlib.suppress(RuntimeError):  # that loop is closed
                    loop.call_soon_threadsafe(opened.set)

            keeper.submit(_do_nothing, wake)
            await opened.wait()
        return self._log

    async def flush_async(self) -> None:
        """Wait until what was logged is in Redis, for `drain_timeout` seconds at most."""
        with contextlib.suppress(TimeoutError, LogCommonError):
            async with asyncio.timeout(self._drain_timeout):
                if self._log.stats.pending:
                    await (await self.open_async()).flush()

    # For the end of the process: see `ending.ClosedAtExit`

    def begin_close(self) -> None:
        """Begin to write what is pending, and return at once."""
        if self._log.stats.pending:
            self._require_keeper()
        self._keepers.close(self._time_to_drain())

    def is_closing(self) -> bool:
        """Whether the thread still runs."""
        return self._keepers.is_alive

    def finish_close(self, deadline: float) -> None:
        """Wait until what is pending is written, or until `deadline` by the monotonic clock."""
        self._keepers.join(deadline)
        if self._log.stats.pending and time.monotonic() < deadline:
            self.begin_close()  # an exception may have come while a thread was being started
            self._keepers.join(deadline)
        if self._log.stats.pending and not self._keepers.is_alive:
            self._keepers.run_here(self._time_to_drain())

        if not self._has_work():
            ending.forget(self)
            if self._has_work():  # another thread has just logged
                ending.close_at_exit(self)

    def reset_after_fork(self) -> None:
        """Reset to a client without a thread in a forked child; called by `runtime.fork`."""
        self._keepers.reset_after_fork()
        self._reset()

    def _ensure_written(self) -> None:
        """Make sure that what was logged will be written, by a keeper or here."""
        if ending.must_write_at_once():
            self._write_now()
            return
        keeper = self._require_keeper()
        if keeper is not None and ending.install_exit_hooks():
            with contextlib.suppress(RuntimeError):  # its loop has ended
                keeper.loop.call_soon_threadsafe(self._use_fast_path, keeper)

    def _require_keeper(self) -> Keeper | None:
        ending.close_at_exit(self)
        return self._keepers.require()

    # The keeper calls these three in its thread.

    def _use_fast_path(self, keeper: Keeper) -> None:
        """Let calls only append to the buffer, as this keeper will write it."""
        if ending.install_exit_hooks() and not keeper.closing:
            self._is_fast = True

    def _use_slow_path(self) -> None:
        """Let each call make sure again that there is a keeper."""
        self._is_fast = False

    def _warn(self, error: Exception) -> None:
        self._warnings.warn("open", f"nothing is written: {error}")

    def _write_now(self) -> None:
        """Write what is pending, as the process may end at any moment."""
        before = self._log.stats
        self.close()
        after = self._log.stats
        if after.pending or (after.dropped, after.spooled) != (before.dropped, before.spooled):
            self._given_up_until = time.monotonic() + _GIVEN_UP_AT_EXIT_FOR

    def _has_work(self) -> bool:
        return bool(self._log.stats.pending) or self._keepers.is_alive

    def _has_just_given_up(self) -> bool:
        return time.monotonic() < self._given_up_until

    def _time_to_drain(self) -> float:
        return 0.0 if self._has_just_given_up() else self._drain_timeout

    def _call_in_thread(
        self, work: Callable[[], Awaitable[_Result]], deadline: float = float("inf")
    ) -> _Result:
        """Call a coroutine function in the client's thread, and return what it returns."""
        while (keeper := self._require_keeper()) is not None:
            with contextlib.suppress(ClientClosedError):  # another thread has just closed it
                return keeper.call(work, deadline)
        raise ClientClosedError("the client can't be opened: the logger `logcommon` says why")


def _unwritten(stats: Stats) -> int:
    """Return how many entries a close could not write in time."""
    return stats.dropped_unwritten + stats.spooled


class _KeptLog(CommonLog):
    """The client that a keeper opens and closes."""

    async def close_within(self, timeout: float) -> None:
        await self._close(timeout)

    async def take_changes(
        self, name: str | None, severity: Severity | None, at_least: float, least: int
    ) -> list[Change]:
        return await self._take_changes(name, severity, at_least, least)


class _ReopenableBuffer(Buffer):
    """Keeps what is logged between a close and the next opening, instead of dropping it."""

    _is_drained = False

    def open(self, wake: Callable[[], None]) -> None:
        super().open(wake)
        self._is_drained = False

    def seal(self, *, last: bool = False) -> None:
        if not self._is_drained:
            self._is_drained = last
            super().seal()


def _like(
    _: Callable[_Parameters, CommonLog],
) -> Callable[[Callable[..., BackgroundLog]], Callable[_Parameters, BackgroundLog]]:
    """Give a function the parameters of another, for type checkers."""
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
        settings: Keyword arguments of `connect`.

    Raises:
        InvalidArgumentError: The URL or a setting can't be used.

    """
    return BackgroundLog(target, settings)


INTERNAL_LOGGERS = frozenset({"asyncio", "logcommon", "redis"})
"""Loggers that writing to Redis may use, with their children. Counting their records could recurse
forever."""


def log_for(
    target: "str | CommonLog | BackgroundLog", settings: Mapping[str, Any]
) -> CommonLog | BackgroundLog:
    """Return a background client for a URL; return a client unchanged.

    Raises:
        InvalidArgumentError: The URL or a setting can't be used, or there are settings in addition
            to a client.

    """
    if not isinstance(target, CommonLog | BackgroundLog):
        return BackgroundLog(target, settings)
    reject_settings(settings)
    return target


def reject_settings(settings: Mapping[str, Any]) -> None:
    """Raise InvalidArgumentError if there are settings in addition to a client."""
    if settings:
        raise InvalidArgumentError(
            f"settings can't be given with a client: pass {', '.join(settings)} where it is made"
        )


async def _do_nothing() -> None:
    """Do nothing, once the client is open."""
