"""CommonLog: a writer and a reader with one lifetime."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from redis.asyncio import Redis

from logcommon.exceptions import ClientClosedError, InvalidArgumentError, SyncUseError
from logcommon.model import (
    RECENT_LENGTH,
    Clock,
    CommonRow,
    Destination,
    RecentRow,
    Severity,
)
from logcommon.read.reader import Reader
from logcommon.runtime.atomic import Step, read_atomically
from logcommon.runtime.fork import begin_anew_in_children
from logcommon.runtime.threads import outlast, run_in_thread
from logcommon.server.target import Target
from logcommon.settings import Settings
from logcommon.stats import LEDGER_FIELDS, Ledger, Stats
from logcommon.write.buffer import Buffer
from logcommon.write.spool import Spool
from logcommon.write.writer import Writer

_DEFAULTS = Settings()

_Rows = TypeVar("_Rows")


def connect(
    target: "str | Redis" = "redis://localhost:6379/0",
    *,
    linger: float = _DEFAULTS.linger,
    drain_timeout: float = _DEFAULTS.drain_timeout,
    commit_timeout: float = _DEFAULTS.commit_timeout,
    history_hours: int = _DEFAULTS.history_hours,
    max_clock_lead: float = _DEFAULTS.max_clock_lead,
    max_pending: int = _DEFAULTS.max_pending,
    max_pending_bytes: int = _DEFAULTS.max_pending_bytes,
    max_members: int = _DEFAULTS.max_members,
    max_message_bytes: int = _DEFAULTS.max_message_bytes,
    max_destinations: int = _DEFAULTS.max_destinations,
    hold_seconds: float = _DEFAULTS.hold_seconds,
    hold_bytes: int = _DEFAULTS.hold_bytes,
    wait_replicas: int = _DEFAULTS.wait_replicas,
    spool: str | os.PathLike[str] | None = None,
    redact: Callable[[str], str] | None = _DEFAULTS.redact,
    clock: Clock = _DEFAULTS.clock,
) -> "CommonLog":
    """Return a client, to be used as `async with logcommon.connect(...) as log:`.

    Nothing is sent before it is entered, and entering does not wait for Redis.

    Args:
        target: A URL (`redis://` or `valkey://`, `rediss://` or `valkeys://` for TLS, `unix://`),
            a `redis.asyncio` client, which stays the caller's to close, or `embedded:` or
            `embedded:DIRECTORY` for a server of one's own.
        linger: Seconds between the starts of two commits that nobody waits for; the first is sent
            at once. In that time, calls with the same message become one command.
        drain_timeout: Seconds that closing may take to write what is pending.
        commit_timeout: Seconds that one commit may take before it is tried again.
        history_hours: How many hours before `:last` are kept; 0 for just the book's two.
        max_clock_lead: Seconds by which an entry's hour may begin after the server's time. An entry
            of a later hour is counted in the server's current one; `math.inf` trusts every clock.
        max_pending: Distinct messages that may wait to be written.
        max_pending_bytes: Bytes of memory that they may take, and the recent entries beside them
            as many again. A commit under way holds as much once more.
        max_members: Distinct messages in Redis per destination and hour.
        max_message_bytes: UTF-8 bytes of a message; a longer one is cut and marked with `…`.
        max_destinations: Destinations of this client.
        hold_seconds: Seconds for which a batch is held after Redis has acknowledged it, to be
            written again if a failover loses it.
        hold_bytes: Bytes of memory, estimated, that held batches may take.
        wait_replicas: Replicas that must have acknowledged a commit before its calls are settled.
            The user of Redis needs `+wait` for it.
        spool: A file that keeps accepted entries until Redis has them; it is made if there is none.
            What a killed process leaves in it, the next client with the same spool writes, exactly
            once; at most the last second is lost. One client, one spool, one server.
        redact: Called with each message before anything is kept of it; what it returns is logged
            instead. `logcommon.redact_secrets` is a ready one.
        clock: Returns seconds since the epoch. It alone decides in which hour an entry counts.

    Whatever goes over a `max_` bound of numbers is counted as `<other>`, and `stats` says how many.

    Raises:
        InvalidArgumentError: The target or a setting can't be used.

    """
    settings = Settings(
        linger=linger,
        drain_timeout=drain_timeout,
        commit_timeout=commit_timeout,
        history_hours=history_hours,
        max_clock_lead=max_clock_lead,
        max_pending=max_pending,
        max_pending_bytes=max_pending_bytes,
        max_members=max_members,
        max_message_bytes=max_message_bytes,
        max_destinations=max_destinations,
        hold_seconds=hold_seconds,
        hold_bytes=hold_bytes,
        wait_replicas=wait_replicas,
        spool=_path(spool),
        redact=redact,
        clock=clock,
    )
    return CommonLog(target, settings)


class CommonLog:
    """Counts and keeps the messages of services in Redis; made by `connect`.

    `_nowait` calls are safe from any thread, before the client is entered and after it is closed.
    Everything else needs the client to be open.
    """

    def __init__(
        self, target: "str | Redis", settings: Settings, buffer: type[Buffer] = Buffer
    ) -> None:
        self._target = Target(target)
        self._settings = settings
        self._spool = None if settings.spool is None else Spool(settings.spool)
        self._buffer = buffer(settings)
        # In place of the method of this name, which shows what it does: a call through two Python
        # frames takes an eighth longer, and this is the one that a service makes a million times.
        self.log_common_nowait = self._buffer.put  # type: ignore[method-assign,assignment]
        self._begin()
        begin_anew_in_children(self)

    def _begin(self) -> None:
        self._ledger = Ledger()
        self._session: _Session | None = None

    async def __aenter__(self) -> Self:
        """Start writing; with an embedded server, wait until that has started.

        A client that was closed can be entered again, also in another event loop.

        Raises:
            ClientClosedError: The client is open.
            EmbeddedServerError: The embedded server can't be started.
            SpoolError: The spool can't be used, or another client has it. (A damaged one can be: it
                is moved aside, with a warning, and read as far as possible.)

        """
        if self.is_open:
            raise ClientClosedError("the client is open already: make another with connect()")
        abandoned = self._abandoned_writer()
        client, spool = await self._open_target(abandoned)
        writer = Writer(self._buffer, self._ledger, self._settings, spool, abandoned)
        self._session = _Session(
            client=client,
            writer=writer,
            reader=Reader(client, self._settings),
            host=asyncio.create_task(_serve(writer, client), name="logcommon"),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what is pending, for `drain_timeout` seconds at most, also when cancelled."""
        await self._close(self._settings.drain_timeout)

    async def _open_target(self, abandoned: Writer | None) -> tuple[Redis, Spool | None]:
        """Open the target and the spool; return the redis client and the spool to use."""
        stand_in = self._target.stand_in()
        if stand_in is not None:
            return stand_in, None

        client = await self._target.open()
        try:
            if self._spool is not None and abandoned is None:
                await run_in_thread(self._spool.open)
        except BaseException:
            await self._target.close(client)
            raise
        return client, self._spool

    async def _close(self, timeout: float) -> None:
        session = self._session
        if session is None or session.host.get_loop() is not asyncio.get_running_loop():
            raise ClientClosedError("the client is not open in this event loop")
        session.writer.close(timeout)
        try:
            await outlast(session.host)
        finally:
            self._session = None
            _look_at(session.host)
            release = asyncio.create_task(self._target.close(session.client))
            await outlast(release)
            release.result()

    def __enter__(self) -> NoReturn:
        """Say how to open this client.

        Raises:
            SyncUseError: Always.

        """
        raise SyncUseError(
            "a client is opened with `async with`; without an event loop, use "
            "`with logcommon.background(...) as log:`"
        )

    def __exit__(self, *exc: object) -> None:
        """Do nothing: it can't be entered like this."""

    def log_common_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Count `message`, and log it as recent; returns at once.

        Never waits and never raises for a fault of Redis: what can't be written yet is kept, in
        proportion to distinct messages, and written later in the hour in which it was logged.

        Args:
            name: The service.
            message: The message.
            severity: A `logging` level, or any text.

        Raises:
            InvalidArgumentError: The name, the message or the severity can't be used.

        """
        self._buffer.put(name, message, severity)

    async def log_common(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Count `message`, and log it as recent; returns when Redis has it.

        Calls that wait at the same time share a commit. While Redis can't be reached this waits:
        give it a deadline with `asyncio.timeout` or `anyio.fail_after` if need be. The entry is
        accepted all the same, and counted once.

        Args:
            name: The service.
            message: The message.
            severity: A `logging` level, or any text.

        Raises:
            InvalidArgumentError: The name, the message or the severity can't be used.
            ClientClosedError: The client is not open.
            NotWrittenError: The entry was not counted, and will not be.
            ClusterUnsupportedError: The server is one of a Redis Cluster. The entry is kept and
                tried again until the client is closed.

        """
        writer = self._require_session().writer
        now = self._buffer.put(name, message, severity)
        await writer.write((name, severity, now))

    def log_recent_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Put `message` on the recent log without counting it; else as `log_common_nowait`."""
        self._buffer.put_recent(name, message, severity)

    async def log_recent(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Put `message` on the recent log without counting it; else as `log_common`."""
        writer = self._require_session().writer
        self._buffer.put_recent(name, message, severity)
        await writer.write((name, severity, None))

    async def flush(self) -> None:
        """Wait until everything logged before this call is in Redis.

        Raises:
            ClientClosedError: The client is not open.
            NotWrittenError: The client was closed meanwhile, and could not write it all.
            ClusterUnsupportedError: The server is one of a Redis Cluster.

        """
        await self._require_session().writer.write()

    @property
    def is_open(self) -> bool:
        """Whether the client is open, so that what is logged is written."""
        session = self._session
        return session is not None and not (session.host.done() or session.is_abandoned)

    @property
    def settings(self) -> Settings:
        """The settings that the client was made with."""
        return self._settings

    @property
    def stats(self) -> Stats:
        """What has become of every call so far."""
        session = self._session
        nothing: Step = partial(tuple, ())
        # All as of one moment: a writer in another thread goes on meanwhile.
        ledger, batches, *snapshot = read_atomically(
            self._ledger.snapshot(),
            nothing if session is None else session.writer.snapshot(),
            *self._buffer.snapshot(),
        )

        account = dict(zip(LEDGER_FIELDS, ledger, strict=True))
        numbers = self._buffer.numbers(snapshot)
        pending = numbers.pending + account.pop("replaying") + sum(it.calls for it in batches)
        committed = account.pop("last_commit_at")
        return Stats(
            calls=numbers.calls + account["recovered"],
            pending=pending,
            dropped_closed=numbers.dropped,
            recent_calls=numbers.recent_calls,
            last_commit_age=None if committed is None else time.monotonic() - committed,
            **account,
        )

    async def top(
        self,
        name: str,
        severity: Severity = logging.INFO,
        n: int = 10,
        hour: datetime | None = None,
    ) -> list[CommonRow]:
        """Return the `n` most common messages of an hour, the most common first.

        Args:
            name: The service.
            severity: A `logging` level, or any text.
            n: How many messages at most.
            hour: Any moment of the hour, in UTC if it is naive; None for the current hour,
                which is empty until something is logged in it. `hours` says which there are.

        Raises:
            InvalidArgumentError: An argument can't be used.
            ClientClosedError: The client is not open.
            ServerUnavailableError: Redis can't be reached.
            ServerRefusedError: Redis refused a command; the text names the key.
            ClusterUnsupportedError: The server is one of a Redis Cluster.

        """
        session = self._require_session()
        return await session.read(session.reader.top(name, severity, n, hour))

    async def recent(
        self, name: str, severity: Severity = logging.INFO, n: int = RECENT_LENGTH
    ) -> list[RecentRow]:
        """Return the `n` newest entries, newest first; raises as `top` does."""
        session = self._require_session()
        return await session.read(session.reader.recent(name, severity, n))

    async def destinations(self) -> list[Destination]:
        """Return every destination that was logged to, in order; raises as `top` does."""
        session = self._require_session()
        return await session.read(session.reader.destinations())

    async def hours(self, name: str, severity: Severity = logging.INFO) -> list[datetime]:
        """Return the hours that have counts, newest first, in UTC; raises as `top` does.

        Hours before `:last` are found as far back as this client's `history_hours`.
        """
        session = self._require_session()
        return await session.read(session.reader.hours(name, severity))

    def _abandoned_writer(self) -> Writer | None:
        """Return the writer of a session whose loop was closed before the writer had ended."""
        session = self._session
        if session is None or session.host.done():
            return None
        return session.writer

    def _require_session(self) -> "_Session":
        if self._session is None or not self.is_open:
            raise ClientClosedError(
                "the client is not open: use it inside `async with logcommon.connect(...) as log:`"
            )
        return self._session

    def _begin_in_child(self) -> object:
        """Reset to an unopened client in a forked child.

        What is pending is the parent's to write. Its connections are kept from being closed here,
        which would take them out of the event loop that the parent still watches.
        """
        session = self._session
        if self._spool is not None:
            self._spool.abandon()
        self._buffer.reset()
        self._begin()
        return session


@dataclass(frozen=True, slots=True)
class _Session:
    """What a client has while it is open."""

    client: Redis
    writer: Writer
    reader: Reader
    host: "asyncio.Task[None]"

    async def read(self, reading: Coroutine[Any, Any, _Rows]) -> _Rows:
        """Read in the client's own event loop, also for a caller in another one."""
        loop = self.host.get_loop()
        if loop is asyncio.get_running_loop():
            return await reading
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(reading, loop))

    @property
    def is_abandoned(self) -> bool:
        """Whether its event loop was closed under it: it will never end."""
        return self.host.get_loop().is_closed()


async def _serve(writer: Writer, client: Redis) -> None:
    # The group lives in a task of its own, so that a client may be entered in one task and closed
    # in another, as frameworks do, and so that a fault in it can't cancel its host.
    copying = asyncio.create_task(writer.copy_regularly())
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await writer.run(client)
        except Exception as error:  # noqa: BLE001  # it is raised again
            raise _exit_behind(error) or error  # noqa: B904  # its context is right already
        finally:
            copying.cancel()
            await asyncio.wait([copying])
            _look_at(copying)


def _exit_behind(error: BaseException) -> SystemExit | KeyboardInterrupt | None:
    """Return what a signal handler raised to end the program, if `error` came of that.

    If it is raised while anyio enters a scope, the scope around it raises a RuntimeError instead.
    That would end one task, and the program would never know that it was to end.
    """
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, SystemExit | KeyboardInterrupt):
        behind = behind.__context__
    return behind


def _look_at(task: "asyncio.Task[None]") -> None:
    """Report what a task has failed with, unless that has ended the event loop already."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        context = {"message": f"{task.get_name()} has failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)


def _path(spool: object) -> Path | None:
    if spool is None:
        return None
    if not isinstance(spool, str | os.PathLike):
        raise InvalidArgumentError(f"spool must be a path, not {type(spool).__name__}")
    return Path(spool).absolute()
