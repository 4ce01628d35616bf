"""A disk that is full: entries go to Redis all the same, and after a crash none counts twice."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.write import backlog
from support import filling
from support.layout import read_counts, total
from support.proxy import Fault, Proxy
from support.until import until

TESTS = Path(__file__).parents[1]
DISK_BYTES = 128 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 kB, which takes root on Linux."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(tmp_path)]
    if not sys.platform.startswith("linux") or os.geteuid() or not shutil.which("mount"):
        pytest.skip("no disk can be mounted here")
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this container may not mount a disk")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)  # noqa: S607


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


async def test_a_healthy_redis_gets_what_the_full_disk_cannot_take(
    disk: Path, valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries are written, with one warning; once there is room, they are on disk first again."""
    async with logcommon.connect(valkey_url, spool=disk / "spool") as log:
        await log.log_common("api", "m")
        filler = fill(disk)
        for number in range(2000):
            log.log_common_nowait("api", f"{number} {'x' * 900}")
        await log.flush()
        assert (log.stats.counted, log.stats.dropped, log.stats.pending) == (2001, 0, 0)
        assert "No space left" in str(log.stats.last_error)
        filler.unlink()
        await log.log_common("api", "m")
        assert log._spool is not None
        assert log._spool.last_number == 4
    assert await total(valkey) == 2002
    (warning,) = caplog.messages
    assert "No space left" in warning
    assert "xxx" not in warning


async def test_a_spool_on_a_disk_that_is_full_from_the_start(
    disk: Path, valkey_url: str, valkey: Redis
) -> None:
    """A service starts all the same, and what it logs is counted."""
    fill(disk)
    for _ in range(2):
        async with logcommon.connect(valkey_url, spool=disk / "spool") as log:
            await log.log_common("api", "m")
            assert log.stats.recovered == 0
    assert await total(valkey) == 2


async def test_what_was_pending_when_the_disk_was_full_is_on_disk_when_there_is_room(
    disk: Path, valkey_url: str, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is away, the next copy has what could not be written to the disk before."""
    monkeypatch.setattr(backlog, "_COPY_INTERVAL", 0.01)
    spool = disk / "spool"
    async with Proxy(1) as away, logcommon.connect(away.url, spool=spool, drain_timeout=0) as log:
        filler = fill(disk)
        log.log_common_nowait("api", "first")
        await until(lambda: "No space" in str(log.stats.last_error))
        log.log_common_nowait("api", "second")
        filler.unlink()
        await until(lambda: spool.read_bytes().count(b'"first"') == 2)
        await until(lambda: spool.read_bytes().count(b'"second"') == 2)
        twin = shutil.copy(spool, disk / "twin")
    async with logcommon.connect(valkey_url, spool=twin) as log:
        await log.flush()
        assert (log.stats.recovered, log.stats.counted) == (2, 2)
    assert await total(valkey) == 2


@contextlib.asynccontextmanager
async def killed(url: str, spool: Path) -> AsyncIterator[asyncio.StreamReader]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        filling.__file__,
        url,
        spool,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": ":".join([str(TESTS), *sys.path])},
    )
    assert child.stdout is not None
    try:
        yield child.stdout
    finally:
        child.kill()
        await child.communicate()


@pytest.mark.parametrize("fault", ["pass", "drop reply", "cut before", "deliver late"])
async def test_a_process_that_is_killed_while_the_disk_is_full(
    proxy: Proxy, valkey: Redis, tmp_path: Path, fault: Fault
) -> None:
    """Its successor never takes its own batches for those that were sent and not on disk."""
    proxy.faults.extend(["pass", fault])
    proxy.holds = True
    async with killed(proxy.url, tmp_path / "spool") as lines:
        assert await lines.readline() == b"full\n"
        if fault == "pass":
            assert await lines.readline() == b"flushed\n"
        else:
            await until(lambda: not proxy.gate.is_set())
    proxy.gate.set()
    async with logcommon.connect(proxy.url, spool=tmp_path / "spool") as log:
        for number in range(3):
            await log.log_common("api", f"successor {number}")
        await proxy.deliver_late()
        await log.log_common("api", "successor 3")
        assert (log.stats.counted, log.stats.dropped, log.stats.pending) == (4, 0, 0)
    (counts,) = (await read_counts(valkey)).values()
    sent = [] if fault == "cut before" else [str(number) for number in range(1000)]
    assert counts == Counter(["first", *sent, *(f"successor {number}" for number in range(4))])


@pytest.mark.parametrize("fault", ["drop reply", "cut before"])
async def test_a_copy_of_the_buffer_that_a_batch_could_not_replace(
    disk: Path,
    proxy: Proxy,
    valkey: Redis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    fault: Fault,
) -> None:
    """Sent since, and not on disk: the successor finds the copy on disk, and Redis knows better."""
    monkeypatch.setattr(backlog, "_COPY_INTERVAL", 0.01)
    spool = disk / "spool"
    async with logcommon.connect(proxy.url, spool=spool, linger=3600, drain_timeout=0) as log:
        await log.log_common("api", "first")
        log.log_common_nowait("api", "copied")
        await until(lambda: b'"copied"' in spool.read_bytes())
        fill(disk)
        for number in range(900):
            log.log_common_nowait("api", f"{number} {'x' * 900}")
        proxy.faults.append(fault)
        proxy.holds = True
        flushing = asyncio.create_task(log.flush())
        await until(lambda: not proxy.gate.is_set())
        twin = shutil.copy(spool, tmp_path_factory.mktemp("twin") / "spool")
        async with logcommon.connect(
            f"redis://127.0.0.1:{proxy._server_port}", spool=twin
        ) as other:
            await other.flush()
            assert (other.stats.recovered, other.stats.counted) == (1, 1)
        flushing.cancel()
    (counts,) = (await read_counts(valkey)).values()
    assert (counts["copied"], counts.total()) == (1, 902 if fault == "drop reply" else 2)
