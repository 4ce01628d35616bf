"""What happens on Redis Cluster, which is not supported yet."""

from pathlib import Path

import pytest
from redis.asyncio import RedisCluster

import logcommon
from support.servers import valkey_server
from support.until import until


async def test_a_node_of_a_cluster_refuses_commits_and_a_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is counted, and every call is in a number."""
    with valkey_server(tmp_path, cluster_enabled="yes") as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        async with logcommon.connect(url, drain_timeout=0) as log:
            log.log_common_nowait("api", "message")
            await until(lambda: bool(caplog.records))
        assert "ClusterCrossSlotError" in caplog.text
        assert (log.stats.calls, log.stats.dropped) == (1, 1)


def test_a_client_of_a_cluster_is_refused_at_once() -> None:
    """It is no client of one server."""
    with pytest.raises(logcommon.InvalidArgumentError, match="not RedisCluster"):
        logcommon.connect(RedisCluster("127.0.0.1"))
