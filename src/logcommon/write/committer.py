"""Batches are made permanent, one after the other, each exactly once.

What to do is decided elsewhere: `progress` reads the marker, `transaction` builds the commands.
Here they are sent, again and again until Redis has them.
"""

import contextlib
import random
import time
from collections.abc import Collection, Iterator

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from logcommon.exceptions import ClusterUnsupportedError
from logcommon.messages.origin import origin_of
from logcommon.schema.commands import Reply
from logcommon.schema.keys import marker_key
from logcommon.server.errors import describe, is_cluster_error
from logcommon.settings import Settings
from logcommon.stats import Outcome
from logcommon.write.batch import Batch
from logcommon.write.commit import Commit
from logcommon.write.commit_connection import CommitConnection
from logcommon.write.placement import is_ahead
from logcommon.write.progress import Progress
from logcommon.write.reporter import Reporter
from logcommon.write.transaction import Plan, Transaction
from logcommon.write.watch import Marker, Watched

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between attempts: doubled after each, with jitter, so that producers spread out."""

_BUILDS = 3
"""Attempts to build a transaction, before the entries that make it fail are dropped."""


class _BuildError(Exception):
    """No transaction could be built, so nothing was sent."""

    def __init__(self, watched: Watched, cause: Exception) -> None:
        super().__init__(origin_of(cause))
        self.watched = watched


class Committer:
    """Commits one batch at a time, under the id of the producer that made it.

    Args:
        client: Where to connect; commits go over a connection of their own.
        settings: Time limits and bounds.
        reporter: Counts commits and faults, and warns of them.
        session: Whose attempts are ours.
        sessions: Those that may have sent our batches. Any other has a copy of our spool.

    """

    def __init__(
        self,
        client: Redis,
        settings: Settings,
        reporter: Reporter,
        session: str,
        sessions: Collection[str],
    ) -> None:
        self._settings = settings
        self._reporter = reporter
        self._session = session
        self._progress = Progress(settings, reporter, session, sessions)
        self._connection = self._connection_to(client)

    def rebind(self, client: Redis) -> None:
        """Go on in the running event loop, if the one before was closed in the middle of a commit.

        The old connection belongs to the closed loop, so there is a new one to where `client`
        connects.
        """
        self._connection = self._connection_to(client)

    @property
    def in_doubt(self) -> bool:
        """Whether a batch was sent, and it is not known if Redis executed it."""
        return self._progress.in_doubt

    async def commit(self, batch: Batch) -> Outcome:
        """Commit `batch`, however long it takes, and return what became of its calls.

        If this is cancelled or raises, the same batch must be given again before another one.

        Raises:
            ClusterUnsupportedError: The server is a node of a Redis Cluster, so trying again is
                useless.

        """
        if batch.producer != self._progress.producer:
            self._progress.switch_producer(batch.producer)
            self._connection.watch_marker(self._marker_key)
        self._progress.begin(batch)

        pause = _FIRST_PAUSE
        while True:
            commit = self._progress.next()
            try:
                with anyio.fail_after(self._settings.commit_timeout):
                    outcome = await self._attempt(commit)
            except Exception as error:  # noqa: BLE001  # whatever it was, the marker tells
                await self._connection.disconnect()
                self._report(commit, error)
                if is_cluster_error(error):
                    raise ClusterUnsupportedError(describe(error)) from None
                await anyio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                now = anyio.current_time()
                if outcome is not None and self._progress.finish(commit, outcome, now):
                    return outcome

    def drop_replays(self) -> None:
        """Count as unwritten what Redis has lost and was to be written again."""
        self._progress.drop_replays()

    async def close(self, *, delete_marker: bool) -> None:
        """Disconnect; with `delete_marker`, delete the marker first unless a batch is in doubt."""
        try:
            # If an EXEC of ours is still under way somewhere, it has watched the marker: it aborts
            # on this as it would on a higher number.
            has_marker = self._progress.producer and self._connection.is_connected

            if delete_marker and has_marker and not self.in_doubt:
                await self._connection.exchange([(b"DEL", self._marker_key)])
        except Exception as error:  # noqa: BLE001  # the marker expires by itself
            self._reporter.ledger.last_error = describe(error)
        finally:
            await self._connection.disconnect()

    @property
    def _marker_key(self) -> bytes:
        return marker_key(self._progress.producer)

    def _connection_to(self, client: Redis) -> CommitConnection:
        return CommitConnection(client, self._reporter.ledger, self._settings, self._marker_key)

    async def _attempt(self, commit: Commit) -> Outcome | None:
        """Return the outcome of a commit, or None if it has to be tried again at once."""
        if self._progress.is_doubtful(commit.batch):
            return self._progress.outcome_in_doubt(commit)

        watched = await self._watch(commit)
        marker = self._progress.last_marker(commit, watched)
        if marker.number >= commit.number:
            return await self._confirm(commit, marker)
        if self._progress.adjust(commit, marker, watched, anyio.current_time()):
            return None
        return await self._execute(commit, watched)

    async def _watch(self, commit: Commit) -> Watched:
        """Return what was read under WATCH; just now, if it says that our clock is ahead."""
        destinations, lead = commit.batch.destinations, self._settings.max_clock_lead
        watched = await self._connection.watch(destinations)
        if self._connection.is_fresh:
            return watched

        if is_ahead(commit.batch, self._server_time(watched), lead):
            # The machine may have been suspended since then, which monotonic time does not show.
            self._connection.discard_read()
            watched = await self._connection.watch(destinations)
        return watched

    def _server_time(self, watched: Watched) -> float:
        return watched.server_time + self._connection.age

    async def _confirm(self, commit: Commit, marker: Marker) -> Outcome | None:
        """Return the outcome of a commit that is in Redis, once enough replicas have it."""
        outcome = self._progress.acknowledge(commit, marker)
        if outcome.in_doubt or not self._settings.wait_replicas:
            return outcome

        # WAIT is about what was written over its own connection, so something has to be.
        executed = await self._connection.transact([marker.command(self._marker_key)])
        if executed.results is None or not self._check_replicas(executed.replicas):
            return None
        return outcome

    async def _execute(self, commit: Commit, watched: Watched) -> Outcome | None:
        attempt = commit.begin_attempt()
        marker = Marker(commit.number, attempt, self._session, commit.batch.edition)
        transaction = await self._build(commit, watched, marker)
        commit.failed_builds = 0

        commit.attempts[attempt] = commit.outcome(transaction)
        try:
            executed = await self._connection.transact(transaction.commands)
        except ResponseError:  # refused: nothing was applied
            del commit.attempts[attempt]
            raise
        if executed.results is None:
            del commit.attempts[attempt]
            self._reporter.ledger.aborts += 1
            return None

        self._reporter.ledger.commits += 1
        self._reporter.ledger.last_commit_at = time.monotonic()
        self._progress.acknowledged = marker
        outcome = commit.attempts[attempt] = commit.outcome(transaction, executed.results)
        return outcome if self._check_replicas(executed.replicas) else None

    async def _build(self, commit: Commit, watched: Watched, marker: Marker) -> Transaction:
        """Return the transaction, after inspecting the sets that may not take every message."""
        with _building(watched):
            plan = self._plan(commit.batch, watched)
        replies: list[Reply] = []
        if plan.inspections:
            replies = await self._connection.exchange(plan.inspections)

        with _building(watched):
            return plan.transaction(marker.command(self._marker_key), replies)

    def _plan(self, batch: Batch, watched: Watched) -> Plan:
        return Plan(batch, watched, self._server_time(watched), self._settings)

    def _check_replicas(self, replicas: Reply) -> bool:
        """Return whether enough replicas have a commit; warn if they don't."""
        wanted = self._settings.wait_replicas
        if not wanted:
            return True
        if isinstance(replicas, ResponseError):
            raise replicas
        if replicas >= wanted:
            return True

        self._reporter.missing_replicas(replicas, wanted)
        return False

    def _report(self, commit: Commit, error: Exception) -> None:
        """Report what ended an attempt; drop the entries for which building fails repeatedly."""
        if not isinstance(error, _BuildError):
            self._reporter.fault(error)
            return

        self._reporter.ledger.last_error = str(error)
        commit.failed_builds += 1
        if commit.failed_builds < _BUILDS:
            return

        set_marker = Marker().command(self._marker_key)
        calls = commit.drop_failing(
            lambda part: self._plan(part, error.watched).check(set_marker),
            f"it can't be written: {error}",
        )
        self._reporter.failed_entries(calls, error)


@contextlib.contextmanager
def _building(watched: Watched) -> Iterator[None]:
    """Tell an error of ours, before anything is sent, from an error of Redis."""
    try:
        yield
    except RedisError:  # the reply to an inspection
        raise
    except Exception as error:
        raise _BuildError(watched, error) from error
