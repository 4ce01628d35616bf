"""`connect` and CommonLog: a writer and a reader with one lifetime."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from redis.asyncio import Redis

from logcommon.alerts import MOST_ALERTS, Claims, check_alerts, is_alarming
from logcommon.exceptions import (
    ClientClosedError,
    InvalidArgumentError,
    ServerUnavailableError,
    SyncUseError,
)
from logcommon.marks import Marks
from logcommon.model import (
    RECENT_LENGTH,
    Change,
    Clock,
    CommonRow,
    Comparison,
    Destination,
    Mark,
    Mute,
    NewEntries,
    RecentRow,
    Series,
    Severity,
    Summary,
    hour_of,
    require_text,
)
from logcommon.mutes import Mutes, new_mute
from logcommon.read.muting import counted_lately
from logcommon.read.newer import Follower
from logcommon.read.reader import Reader
from logcommon.read.summary import Order
from logcommon.read.windows import Before, time_of_mark, windows_of, windows_since
from logcommon.runtime import fork
from logcommon.runtime.atomic import Step, read_atomically
from logcommon.runtime.threads import run_in_thread, wait_shielded
from logcommon.server.target import Target
from logcommon.session import Session
from logcommon.settings import Settings
from logcommon.stats import LEDGER_FIELDS, Ledger, Stats
from logcommon.write.buffer import Buffer
from logcommon.write.spool import Spool
from logcommon.write.writer import Writer

_DEFAULTS = Settings()


def connect(
    target: "str | Redis" = "redis://localhost:6379/0",
    *,
    linger: float = _DEFAULTS.linger,
    max_linger: float = _DEFAULTS.max_linger,
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
    spool: str | os.PathLike[str] | None = _DEFAULTS.spool,
    redact: Callable[[str], str] | None = _DEFAULTS.redact,
    template: Callable[[str], str] | None = _DEFAULTS.template,
    clock: Clock = _DEFAULTS.clock,
) -> "CommonLog":
    """Return a client. Use it as `async with logcommon.connect(...) as log:`.

    Nothing is sent before the client is opened, and opening it does not wait for Redis.

    Args:
        target: A URL (`redis://` or `valkey://`, `rediss://` or `valkeys://` for TLS, `unix://`);
            a `redis.asyncio` client, which the caller closes; or `embedded:` or
            `embedded:DIRECTORY` for a private server.
        linger: Seconds between the starts of two commits that no call waits for. The first starts
            at once. Calls with the same message in that time become one command.
        max_linger: Seconds that the linger may grow to while commits take longer than usual, as on
            a server that many producers share.
        drain_timeout: Seconds that closing may take to write what is pending.
        commit_timeout: Seconds that one commit may take, connecting included, before it is tried
            again.
        history_hours: Hours that are kept before `:last`, each in a key that expires. 0 keeps only
            the book's two hours.
        max_clock_lead: How many seconds after the server's time an entry's hour may begin. An entry
            of a later hour is counted in the server's current hour. `math.inf` trusts every clock.
        max_pending: Distinct messages that may wait to be written. A commit in progress holds as
            many again.
        max_pending_bytes: Bytes of memory that waiting messages may take. Entries that wait for the
            recent log may take as many again, and a commit in progress holds as much once more.
        max_members: Distinct messages in Redis per destination and hour. Each producer stops at the
            limit as it last read it, so several that reach it together may exceed it by what they
            had in progress.
        max_message_bytes: UTF-8 bytes of a message, at least 16. A longer message is cut between
            characters and marked with `…`.
        max_destinations: Destinations that this client may log to. Calls to any others are counted
            in the destination `<other>`.
        hold_seconds: Seconds for which a batch is held after Redis has acknowledged it. If a
            failover loses it in that time, it is written again.
        hold_bytes: Bytes of memory that held batches may take, estimated as the characters of each
            message plus 120, and plus 140 for an entry of the recent log. The oldest batches are
            released first.
        wait_replicas: Replicas that must acknowledge a commit before calls that wait for it return.
            The Redis user needs `+wait` for it.
        spool: A file that keeps accepted entries until Redis has them. It is created if it does not
            exist. If the process is killed, the next client with the same spool writes what is in
            it, exactly once; at most the last second is lost. Give each client a spool of its own,
            and use a spool with one server only.
        redact: A function that gets each message before any of it is kept, and returns what to log
            instead. If it raises, a placeholder is logged. `logcommon.redact_secrets` is one.
        template: A function that gets each distinct message after that, and returns what it is
            counted as. It runs outside of the call. If it raises, the message is counted as it is.
            The recent log keeps the message itself. `logcommon.template` is one.
        clock: A function that returns seconds since the epoch. It decides in which hour an entry is
            counted.

    Messages past `max_pending`, `max_pending_bytes`, `max_members` or `max_destinations` are
    counted as `<other>`, and `stats` says how often.

    Raises:
        InvalidArgumentError: The target or a setting can't be used.

    """
    settings = Settings(
        linger=linger,
        max_linger=max_linger,
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
        spool=spool,
        redact=redact,
        template=template,
        clock=clock,
    )

    return CommonLog(target, settings)


class CommonLog:
    """Counts messages in Redis, and keeps the newest; made by `connect`.

    Methods that end in `_nowait` can be called from any thread, before the client is opened and
    after it is closed. All others need an open client.

    The methods don't call each other. A subclass that overrides `log_common_nowait` changes what
    integrations log, but not `log_common`.
    """

    def __init__(
        self, target: "str | Redis", settings: Settings, buffer: Buffer | None = None
    ) -> None:
        self._target = Target(target)
        self._settings = settings
        self._spool = None if settings.spool is None else Spool(Path(settings.spool).absolute())
        self._buffer = Buffer(settings) if buffer is None else buffer
        self._reset()
        fork.reset_in_children(self)

    def _reset(self) -> None:
        self._ledger = Ledger()
        self._session: Session | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<logcommon.CommonLog for {self._target}, {state}>"

    async def __aenter__(self) -> Self:
        """Open the client and start writing. This waits for an embedded server, and for no other.

        A client that was closed can be opened again, also in another event loop.

        Raises:
            ClientClosedError: The client is open already.
            EmbeddedServerError: The embedded server can't be started.
            SpoolError: The spool can't be used, or another client has it open. (A damaged spool is
                moved aside with a warning, and what can be read of it is written.)

        """
        if self.is_open:
            raise ClientClosedError("the client is open already: make another with connect()")

        left = self._session
        abandoned = left.writer if left is not None and left.is_abandoned else None
        client = await self._open_target(with_spool=abandoned is None)
        writer = Writer(self._buffer, self._ledger, self._settings, self._spool, abandoned)
        self._session = Session.start(client, Reader(client, self._settings), writer)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what is pending, for `drain_timeout` seconds at most, even if cancelled."""
        await self._close(self._settings.drain_timeout)

    async def _open_target(self, *, with_spool: bool) -> Redis:
        """Return a redis client for the target, and open the spool; if that fails, close both."""
        client = await self._target.open()
        try:
            if self._spool is not None and with_spool:
                await run_in_thread(self._spool.open)
        except BaseException:
            await self._target.close(client)
            raise
        return client

    async def _close(self, timeout: float) -> None:
        session = self._session
        if session is None or not session.is_here:
            raise ClientClosedError("the client is not open in this event loop")

        try:
            await session.close(timeout)
        finally:
            self._session = None
            release = asyncio.create_task(self._target.close(session.client))
            await wait_shielded(release)
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
        """Do nothing: `__enter__` has raised."""

    def log_common_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Count `message` and put it on the recent log; return at once.

        If Redis is slow or down, this neither blocks nor raises. The entry is kept in memory, which
        grows with distinct messages only, and is counted later, in the hour in which it was logged.

        Args:
            name: The service.
            message: The message.
            severity: A `logging` level, or any text.

        Raises:
            InvalidArgumentError: The name, the message or the severity can't be used.

        """
        self._buffer.put(name, message, severity)

    async def log_common(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Count `message` and put it on the recent log; return when Redis has it.

        Calls that wait at the same time share a commit. While Redis can't be reached, this waits;
        `asyncio.timeout` or `anyio.fail_after` gives it a deadline. After that, the entry is still
        accepted, and counted once.

        Args:
            name: The service.
            message: The message.
            severity: A `logging` level, or any text.

        Raises:
            InvalidArgumentError: The name, the message or the severity can't be used.
            ClientClosedError: The client is not open, or its event loop was closed meanwhile.
            NotWrittenError: The entry was not counted, and will not be.
            ClusterUnsupportedError: The server is a node of a Redis Cluster. The entry is kept and
                tried again until the client is closed.

        """
        session = self._require_session()
        logged_at = self._buffer.put(name, message, severity)
        await session.flush((name, severity, logged_at))

    def log_recent_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Put `message` on the recent log, uncounted; otherwise like `log_common_nowait`."""
        self._buffer.put_recent(name, message, severity)

    async def log_recent(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        """Put `message` on the recent log, uncounted; otherwise like `log_common`."""
        session = self._require_session()
        self._buffer.put_recent(name, message, severity)
        await session.flush((name, severity, None))

    async def flush(self) -> None:
        """Wait until everything logged before this call is in Redis.

        Raises:
            ClientClosedError: The client is not open.
            NotWrittenError: The client was closed meanwhile and could not write everything.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        await self._require_session().flush()

    @property
    def is_open(self) -> bool:
        """Whether the client is open, so that what is logged is written."""
        return self._session is not None and self._session.is_running

    @property
    def settings(self) -> Settings:
        """The settings that the client was made with."""
        return self._settings

    @property
    def stats(self) -> Stats:
        """What became of every call so far."""
        session = self._session
        nothing: Step = partial(tuple, ())
        # All are read at one moment, as a writer in another thread goes on.
        ledger, batches, *values = read_atomically(
            self._ledger.read_step(),
            nothing if session is None else session.writer.read_step(),
            *self._buffer.read_steps(),
        )

        account = dict(zip(LEDGER_FIELDS, ledger, strict=True))
        numbers = self._buffer.numbers(values)
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
        name: str | None,
        severity: Severity | None = logging.INFO,
        n: int = 10,
        hour: datetime | None = None,
        *,
        merge: bool | None = False,
    ) -> list[CommonRow]:
        """Return the `n` most common messages of an hour, the most common first.

        Each row names its `destination`. If one of several destinations can't be read because a key
        has the wrong type, it is left out and the logger `logcommon` warns.

        Args:
            name: The service; None for all services that were logged to through this package.
            severity: A `logging` level, or any text; None for all severities.
            n: The most messages to return.
            hour: Any moment of the hour, in UTC if it is naive; None for the current hour,
                which is empty until something is logged in it. `hours` says which hours there are.
            merge: Whether to merge templates that differ only in word parameters, as
                `merge_templates` does; None to merge if there are templates. A row's `merged` has
                what was merged into it.

        Raises:
            InvalidArgumentError: An argument can't be used.
            ClientClosedError: The client is not open.
            ServerUnavailableError: Redis can't be reached.
            ServerRefusedError: Redis refused a command, and nothing else was found; the text names
                the key.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        session = self._require_session()
        return await session.read(session.reader.top(name, severity, n, hour, merge=merge))

    async def compare(
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
        """Return the `n` largest changes between two windows of hours, the most certain first.

        Rates are compared: the current hour counts for as long as it has lasted. Changes are ranked
        by the factor by which a rate went up or down *at least*, given chance and how much the
        traffic varies from hour to hour; see `logcommon.read.compare`. Of each hour the 500 most
        common messages of a destination are compared.

        Args:
            name: The service; None for all services that were logged to through this package.
            severity: A `logging` level, or any text; None for all severities.
            n: The most changes to return.
            after: Any moment of the hour to look at; None for the current hour so far.
            before: What to compare it with: any moment of another hour, `yesterday` for the same
                hour of the day before, `history` for all kept hours before; None for the newest
                hour before in which the service has logged anything.
            since: In place of both: the text of a mark, or a moment. The whole hours after that of
                the moment are compared with as many before it. Until an hour has begun after it,
                its own hour is taken for what came after.
            merge: Whether to merge templates that differ only in word parameters; None to merge if
                there are templates.

        Raises:
            InvalidArgumentError: An argument can't be used, or there is no such mark.
            ClientClosedError: The client is not open.
            ServerUnavailableError: Redis can't be reached.
            ServerRefusedError: Redis refused a command, and nothing else was found.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        session = self._require_session()
        if since is None:
            windows = partial(windows_of, after=after, before=before)
        elif after is not None or before is not None:
            raise InvalidArgumentError("give since, or after and before")
        else:
            windows = partial(windows_since, since=await self._moment_of(since))
        comparing = session.reader.compare(name, severity, n, windows, merge=merge)
        return await session.read(comparing)

    async def summary(
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
        """Return the most common messages of an hour with their shares, rates and changes.

        Args:
            name: The service; None for all services that were logged to through this package.
            severity: A `logging` level, or any text; None for all severities.
            n: The most messages to return.
            hour: Any moment of the hour, in UTC if it is naive; None for the newest that has
                counts.
            by: `count` for the most common messages, `bytes` for those whose lines take most.
            text: Only messages with this in them, in upper or lower case.
            merge: Whether to merge templates that differ only in word parameters; None to merge if
                there are templates.

        Returns:
            None if there is no hour with counts.

        Raises:
            LogCommonError: As `top` does.

        """
        session = self._require_session()
        reading = session.reader.summary(name, severity, n, hour, by=by, text=text, merge=merge)
        return await session.read(reading)

    async def changes(
        self,
        name: str | None = None,
        severity: Severity | None = None,
        *,
        interval: float = 10.0,
        at_least: float = 1.5,
        least: int = 5,
    ) -> AsyncIterator[Change]:
        """Yield each message that is new, back or rising in the current hour, once an hour.

        The current hour is compared with all kept hours; a service that has none yet is left out.
        What one client has yielded, no other
        yields again in that hour, and neither does this one after a restart: it is claimed in
        Redis. A message that is both new and, later in the hour, rising is yielded twice. Muted
        messages are not yielded.

        While Redis can't be reached, it waits.

        Args:
            name: The service; None for all services that were logged to through this package.
            severity: A `logging` level, or any text; None for all severities.
            interval: Seconds between two looks.
            at_least: The factor by which the rate of a message went up at least.
            least: How often it was counted in this hour at least.

        Raises:
            InvalidArgumentError: An argument can't be used.
            ClientClosedError: The client is not open, or was closed meanwhile.
            ServerRefusedError: Redis refused a command.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        check_alerts(interval, at_least, least)
        while True:
            with contextlib.suppress(ServerUnavailableError):
                for change in await self._take_changes(name, severity, at_least, least):
                    yield change
            await asyncio.sleep(interval)

    async def _take_changes(
        self, name: str | None, severity: Severity | None, at_least: float, least: int
    ) -> list[Change]:
        """Return the changes to look at that nobody has taken yet; then they are taken."""
        session = self._require_session()
        found = await self.compare(name, severity, MOST_ALERTS, before="history")
        alarming = [each for each in found.changes if is_alarming(each, at_least, least)]
        if not alarming:
            return []

        # All that a new service logs is new, and no news.
        hour = found.after.hours[0]
        held = await self.hours_by_destination()
        known = {each.name for each, hours in held.items() if min(hours, default=hour) < hour}
        alarming = [each for each in alarming if each.destination.name in known]
        claims = Claims(session.client)
        return await session.read(claims.take(hour_of(hour.timestamp()), alarming))

    async def series(
        self, message: str, name: str | None, severity: Severity | None = logging.INFO
    ) -> Series:
        """Return how often a message was counted in each of the kept hours.

        Several destinations are added up. Arguments and errors are as for `top`.
        """
        session = self._require_session()
        return await session.read(session.reader.series(message, name, severity))

    async def histories(self, rows: Sequence[CommonRow]) -> list[Series]:
        """Return for each row of `top` how often its message was counted in each kept hour.

        What was merged into a row is added up. Raises as `top` does, but what can't be read is left
        out with a warning.
        """
        session = self._require_session()
        return await session.read(session.reader.histories(rows))

    async def mark(self, text: str) -> Mark:
        """Note that something happens now, such as a deploy, so that `compare` can look back at it.

        Marks belong to no service. The newest hundred are kept.

        Args:
            text: One line, of up to 256 characters, such as a version.

        Raises:
            InvalidArgumentError: The text can't be used.
            ClientClosedError: The client is not open.
            ServerUnavailableError: Redis can't be reached; the mark may have been noted.
            ServerRefusedError: Redis refused a command.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        session = self._require_session()
        return await session.read(Marks(session.client, self._settings.clock).add(text))

    async def marks(self) -> list[Mark]:
        """Return the marks that were noted, the newest first; raises as `top` does."""
        session = self._require_session()
        return await session.read(Marks(session.client, self._settings.clock).newest())

    async def mute(
        self,
        message: str,
        seconds: float | None = 7 * 86_400,
        *,
        until_rises: float | None = None,
    ) -> Mute:
        """Mute a message that somebody knows of: it raises no alert, and is marked in all tables.

        It is muted for all services, and for all who read this Redis. A message that is muted
        already is muted anew.

        Args:
            message: The message, or the template that it is counted as.
            seconds: For how long, up to 366 days; None for ever.
            until_rises: The factor by which its rate must rise for it to come back before that.
                Its rate now is that of the last hour or of this one, whichever is higher.

        Raises:
            InvalidArgumentError: An argument can't be used, or too many messages are muted.
            ClientClosedError: The client is not open.
            ServerUnavailableError: Redis can't be reached; the message may have been muted.
            ServerRefusedError: Redis refused a command.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        session = self._require_session()
        clock = self._settings.clock
        made = new_mute(message, seconds, until_rises, {}, clock())
        counts = await session.read(session.reader.counts_of(made.message))
        made = replace(made, before=counted_lately(counts, clock()))
        await session.read(Mutes(session.client, clock).put(made))
        return made

    async def unmute(self, message: str) -> bool:
        """Unmute a message; return whether it was muted. Raises as `mute` does."""
        session = self._require_session()
        require_text(message)
        return await session.read(Mutes(session.client, self._settings.clock).remove(message))

    async def mutes(self) -> list[Mute]:
        """Return the mutes that are not over, the oldest first; raises as `top` does."""
        session = self._require_session()
        return await session.read(session.reader.mutes())

    async def recent(
        self,
        name: str | None,
        severity: Severity | None = logging.INFO,
        n: int = RECENT_LENGTH,
    ) -> list[RecentRow]:
        """Return the `n` newest entries, newest first; arguments and errors as for `top`.

        Times are whole seconds. Within a second, entries of several destinations take turns.
        """
        session = self._require_session()
        return await session.read(session.reader.recent(name, severity, n))

    async def follow(
        self,
        name: str | None = None,
        severity: Severity | None = None,
        n: int = 0,
        *,
        interval: float = 1.0,
    ) -> AsyncIterator[NewEntries]:
        """Yield the entries that are put on the recent logs, each once and in order, as they come.

        A recent log keeps the newest hundred. If more came between two looks, `missed` says of how
        many calls the entries are gone. While Redis can't be reached, it waits.

        Args:
            name: The service; None for all services that were logged to through this package.
            severity: A `logging` level, or any text; None for all severities.
            n: How many of the entries that are there already to begin with.
            interval: Seconds between two looks.

        Raises:
            InvalidArgumentError: An argument can't be used.
            ClientClosedError: The client is not open, or was closed meanwhile.
            ServerRefusedError: Redis refused a command.
            ClusterUnsupportedError: The server is a node of a Redis Cluster.

        """
        if n < 0 or interval <= 0:
            raise InvalidArgumentError("n must be at least 0, and interval more than 0 seconds")
        follower: Follower | None = None
        while True:
            session = self._require_session()
            with contextlib.suppress(ServerUnavailableError):
                found = await session.read(session.reader.snapshots(name, severity))
                if follower is None:
                    follower = Follower(found)
                    entries = follower.newest(n)
                else:
                    entries = follower.look(found)
                if entries.rows or entries.missed:
                    yield entries
            await asyncio.sleep(interval)

    async def destinations(self) -> list[Destination]:
        """Return every destination that was logged to, in order; raises as `top` does."""
        session = self._require_session()
        return await session.read(session.reader.destinations())

    async def hours(
        self, name: str | None, severity: Severity | None = logging.INFO
    ) -> list[datetime]:
        """Return the hours that have counts, newest first; arguments and errors as for `top`.

        An hour is given as its first moment, in UTC. Hours before `:last` are found as far back as
        this client's `history_hours`.
        """
        session = self._require_session()
        return await session.read(session.reader.hours(name, severity))

    async def minutes(
        self,
        name: str | None = None,
        severity: Severity | None = None,
        hours: int = 2,
    ) -> dict[Destination, dict[datetime, int]]:
        """Return how many calls were counted in each minute, for each destination that has any.

        A minute is given as its first moment, in UTC; those without calls are left out. Calls that
        other programs have counted, such as the book's, have no minute.

        Args:
            name: The service; None for all services that were logged to through this package.
            severity: A `logging` level, or any text; None for all severities.
            hours: How many hours to read, with the current one; no more than are kept.

        Raises:
            LogCommonError: As `top` does.

        """
        session = self._require_session()
        return await session.read(session.reader.minutes(name, severity, hours))

    async def hours_by_destination(self) -> dict[Destination, list[datetime]]:
        """Return the hours that have counts, of every destination; raises as `top` does."""
        session = self._require_session()
        return await session.read(session.reader.hours_by_destination())

    async def _moment_of(self, since: str | datetime) -> datetime:
        return time_of_mark(since, await self.marks()) if isinstance(since, str) else since

    def _require_session(self) -> Session:
        session = self._session
        if session is None or not session.is_running:
            raise ClientClosedError(
                "the client is not open: use it inside `async with logcommon.connect(...) as log:`"
            )
        return session

    def reset_after_fork(self) -> None:
        """Reset to an unopened client in a forked child; what is pending is the parent's to write.

        Called by `logcommon.runtime.fork`.
        """
        # Closing the parent's connections here would take them out of its event loop's selector.
        fork.keep_alive(self._session)
        if self._spool is not None:
            self._spool.close_in_child()
        self._buffer.reset()
        self._reset()
