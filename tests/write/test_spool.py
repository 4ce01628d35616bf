"""The file that outlives a process, and a client that finds one."""

import asyncio
import contextlib
import gc
import os
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, MutableSequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import Destination, SpoolError
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write import backlog
from logcommon.write.backlog import Backlog
from logcommon.write.batch import Batch
from logcommon.write.buffer import Buffer
from logcommon.write.reporter import Reporter
from logcommon.write.spool import Spool
from support import spooling
from support.clock import NOON, HandClock
from support.fork import in_child
from support.layout import read_counts, total
from support.proxy import Fault, Proxy
from support.until import until

TESTS = Path(__file__).parents[1]
API = Destination("api", "info")
NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def batch(number: int, message: str = "m") -> Batch:
    recent = {API: [(message, 1.5)]}
    return Batch(counts={(API, NOON): {message: number}}, recent=recent, number=number)


def read(path: Path) -> list[Batch]:
    spool = Spool(path)
    spool.open()
    spool.close()
    return spool.found


def rows(spool: Path) -> int:
    """Return how many batches and copies another process would find, were this one killed."""
    twin = spool.with_name("twin")
    twin.write_bytes(spool.read_bytes())
    return len(read(twin))


def test_a_spool_gives_back_what_it_was_given(path: Path) -> None:
    """Batches come back in order, whole, with their numbers, and the copy after them."""
    spool = Spool(path)
    spool.open()
    strange = "line\nbreak, \ud800 and \u2026"
    spool.store([batch(1), batch(2, strange)])
    spool.store_copy([batch(0, "waiting")])
    spool.close()
    again = Spool(path)
    again.open()
    assert again.found == [
        batch(1),
        batch(2, "line\nbreak, \ud800 and \u2026"),
        batch(0, "waiting"),
    ]
    assert (again.producer, again.last_number) == (spool.producer, 2)
    again.close()


def test_a_spool_keeps_examples(path: Path) -> None:
    """The examples of templates come back with their batches."""
    spool = Spool(path)
    spool.open()
    kept = batch(1, "user <num>")
    kept.examples = {group: {"user <num>": "user 7"} for group in kept.counts}
    spool.store([kept, batch(2)])
    spool.close()
    again = Spool(path)
    again.open()
    assert again.found == [kept, batch(2)]
    assert [each.examples for each in again.found] == [kept.examples, {}]
    again.close()


def test_what_is_settled_leaves_the_spool(path: Path) -> None:
    """Settled batches go, by `store` as well as by `remove`; numbers go on from the last."""
    spool = Spool(path)
    spool.open()
    spool.store([batch(1), batch(2), batch(3)])
    spool.store_copy([batch(0)])
    spool.store([batch(2), batch(3)])
    assert rows(path) == 2
    spool.remove(2)
    assert rows(path) == 1
    spool.store([])
    spool.close()
    again = Spool(path)
    again.open()
    assert (again.found, again.last_number) == ([], 3)
    again.close()


def test_messages_on_disk_are_for_their_owner_only(path: Path) -> None:
    """The file and its log can't be read by other users."""
    spool = Spool(path)
    spool.open()
    spool.store([batch(1)])
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0
    spool.close()


def spoil_with_text(path: Path) -> None:
    path.write_text("no database at all, but somebody's notes" * 100)


def spoil_with_a_table(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()


def spoil_with_a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [spoil_with_text, spoil_with_a_table, spoil_with_a_folder])
def test_another_file_is_refused_and_left_alone(path: Path, spoil: Callable[[Path], None]) -> None:
    """What is no spool is an error at once, and is not changed."""
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(SpoolError, match="can't be used"):
        Spool(path).open()
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("path", [12, b"spool"])
def test_a_spool_is_a_path(path: object) -> None:
    """Anything but a path is an error when the client is made."""
    with pytest.raises(logcommon.InvalidArgumentError, match="path"):
        logcommon.connect(spool=path)  # type: ignore[arg-type]


async def test_a_spool_has_one_client(path: Path, valkey_url: str) -> None:
    """A second client is refused, and can have the spool when the first is closed."""
    second = logcommon.connect(valkey_url, spool=path)
    async with logcommon.connect(valkey_url, spool=path) as log:
        with pytest.raises(SpoolError, match="give each process a spool of its own"):
            await second.__aenter__()
        await log.log_common("api", "m")
    async with second:
        await second.log_common("api", "m")


async def test_what_a_close_leaves_the_next_client_writes(
    path: Path, valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """Entries that found no server are counted by a later client, in their own hours."""
    async with logcommon.connect(NOWHERE, spool=path, clock=clock, drain_timeout=0) as log:
        for number in range(3000):
            log.log_common_nowait("api", str(number))
        clock.turn()
        log.log_common_nowait("api", "later")
    assert (log.stats.spooled, log.stats.dropped, log.stats.pending) == (3001, 0, 0)

    async with logcommon.connect(valkey_url, spool=path, clock=clock) as log:
        await until(lambda: log.stats.counted == 3001)
        assert (log.stats.recovered, log.stats.calls, log.stats.pending) == (3001, 3001, 0)
    assert await read_counts(valkey) == {
        NOON: Counter(map(str, range(3000))),
        NOON + 1: Counter(later=1),
    }
    assert len(await valkey.lrange("recent:api:info", 0, -1)) == 100
    assert read(path) == []


async def test_a_client_entered_again_finds_its_own_spool(
    path: Path, valkey_url: str, valkey: Redis
) -> None:
    """The account is right when the one that left entries is the one that finds them."""
    async with Proxy(1) as nowhere:
        log = logcommon.connect(nowhere.url, spool=path, drain_timeout=0)
        async with log:
            log.log_common_nowait("api", "m")
        nowhere._server_port = int((await valkey.config_get("port"))["port"] or 0)
        async with log:
            await log.log_common("api", "m")
    stats = log.stats
    assert (stats.calls, stats.counted, stats.spooled, stats.recovered) == (3, 2, 1, 1)
    assert await total(valkey) == 2


@asynccontextmanager
async def killed(url: str, spool: Path, name: str = "api") -> AsyncIterator[asyncio.StreamReader]:
    """Run a process that logs with a spool, and kill it at the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        spooling.__file__,
        url,
        spool,
        name,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join([str(TESTS), *sys.path])},
    )
    assert child.stdout is not None
    try:
        yield child.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            child.kill()
        await child.wait()


@pytest.mark.parametrize("fault", ["drop reply", "cut before", "deliver late"])
async def test_the_batch_in_doubt_is_settled_by_the_next_process(
    proxy: Proxy, valkey: Redis, path: Path, fault: Fault
) -> None:
    """Sent before a kill, and executed or not: the next process finds out, and it counts once."""
    proxy.faults.append(fault)
    proxy.holds = True
    async with killed(proxy.url, path):
        await proxy.applies(1)
        await until(lambda: not proxy.gate.is_set())
    proxy.gate.set()
    async with logcommon.connect(proxy.url, spool=path) as log:
        await log.flush()
        assert (log.stats.recovered, log.stats.counted, log.stats.pending) == (100, 100, 0)
        await proxy.deliver_late()
        await log.log_common("api", "0")
    assert await total(valkey) == 101
    assert proxy.seen == (2 if fault == "drop reply" else 3)


async def test_processes_killed_at_random(valkey_url: str, valkey: Redis, path: Path) -> None:
    """Whatever a process was doing when it was killed, what it had spooled counts exactly once.

    Its calls go to the spool a hundred at a time: so many may be there that it does not know of.
    """
    known = {}
    for turn in range(6):
        async with killed(valkey_url, path, f"run {turn}") as lines:
            for _ in range(1 + 5 * turn):
                known[turn] = int(await lines.readline())
        for line in (await lines.read()).split():  # printed before it was killed
            known[turn] = int(line)
    async with logcommon.connect(valkey_url, spool=path) as log:
        await log.flush()
    for turn, calls in known.items():
        ((_, counts),) = (await read_counts(valkey, f"run%20{turn}")).items()
        assert counts.total() in range(calls, calls + 101, 100)
        assert counts == Counter(str(number % 7) for number in range(counts.total()))


async def test_the_buffer_is_copied_while_a_commit_hangs(
    path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While no server can be reached, what is logged is on disk after the next copy."""
    monkeypatch.setattr(backlog, "_COPY_INTERVAL", 0.01)
    async with logcommon.connect(NOWHERE, spool=path, drain_timeout=0, clock=clock) as log:
        log.log_common_nowait("api", "first")
        await until(lambda: log.stats.failures > 0)
        log.log_common_nowait("api", "second")
        await until(lambda: rows(path) == 2)
    assert [found.counts for found in read(path)] == [
        {(API, NOON): {"first": 1}},
        {(API, NOON): {"second": 1}},
    ]


async def test_a_copy_that_meets_the_close(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that is due while the spool is being closed is not made any more."""
    monkeypatch.setattr(backlog, "_COPY_INTERVAL", 0)
    spool, ledger, buffer = Spool(path), Ledger(), Buffer(Settings())
    spool.open()
    between = Backlog(buffer, Reporter(ledger, Settings()), spool)
    await between._disk.acquire()
    closing = asyncio.create_task(between.close(in_doubt=False))
    await until(lambda: between._disk.statistics().tasks_waiting == 1)
    copying = asyncio.create_task(between.copy_regularly())
    await until(lambda: between._disk.statistics().tasks_waiting == 2)
    between._disk.release()
    await asyncio.gather(closing, copying)
    assert ledger.last_error is None


async def test_a_forked_child_leaves_the_spool_alone(
    path: Path, valkey_url: str, valkey: Redis
) -> None:
    """A child that exits in the ordinary way neither unlocks nor tidies up its parent's spool."""
    async with logcommon.connect(valkey_url, spool=path) as log:
        await log.log_common("api", "parent")

        def work() -> None:
            assert log._spool is not None
            assert log._spool._file._file is None
            gc.collect()

        assert in_child(work) == 0
        await log.log_common("api", "parent")
        await until(lambda: rows(path) == 0)
        with pytest.raises(SpoolError, match="another client has it"):
            Spool(path).open()
    assert (log.stats.counted, await total(valkey)) == (2, 2)


async def test_a_lock_that_reading_the_file_does_not_drop(path: Path, valkey_url: str) -> None:
    """Whoever opens and closes the file beside the spool, as a backup does, unlocks nothing."""
    async with logcommon.connect(valkey_url, spool=path) as log:
        await log.log_common("api", "m")
        for file in path.parent.iterdir():
            file.read_bytes()
        async with killed(valkey_url, path) as lines:
            assert await lines.read() == b"", "another process has the spool too"
        await log.log_common("api", "m")


def test_two_names_of_one_spool(path: Path) -> None:
    """A symbolic link to a spool is the same spool, and its lock the same."""
    link = path.with_name("link")
    link.symlink_to(path)
    spool = Spool(path)
    spool.open()
    with pytest.raises(SpoolError, match="another client has it"):
        Spool(link).open()
    spool.close()
    Spool(link).open()
    assert link.is_symlink()


def test_the_file_of_the_lock_stays(path: Path) -> None:
    """It is never deleted, and never readable by others: who waits for it locks the same one."""
    spool = Spool(path)
    spool.open()
    lock = path.with_name("spool.lock")
    before = lock.stat()
    spool.store([batch(1)])
    spool.store_copy([batch(2)])
    spool.close()
    Spool(path).open()
    assert lock.stat().st_ino == before.st_ino
    assert before.st_mode & 0o077 == 0


def test_a_child_does_not_keep_the_spool_of_a_killed_parent(path: Path) -> None:
    """A worker that outlives its parent does not keep the next process from the spool."""
    reader, writer = os.pipe()
    forked_reader, forked_writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.close(writer)
        log = logcommon.connect(spool=path)
        assert log._spool is not None
        log._spool.open()
        if os.fork() == 0:
            os.write(forked_writer, b".")  # what is done after a fork is done
            os.read(reader, 1)  # until the test ends
        os._exit(0)
    os.close(reader)
    os.waitpid(parent, 0)
    assert os.read(forked_reader, 1) == b"."
    spool = Spool(path)
    spool.open()
    spool.close()
    for descriptor in (writer, forked_reader, forked_writer):
        os.close(descriptor)


def test_what_a_backlog_holds_is_known_at_any_time() -> None:
    """The calls in it are counted when they come and when they go."""
    buffer = Buffer(Settings())
    between = Backlog(buffer, Reporter(Ledger(), Settings()), None)
    for number in range(2500):
        buffer.put("api", str(number))
    buffer.seal()
    between._move()
    buffer.put("api", "one more")
    buffer.seal()
    between._move()
    held = [between.calls]
    while between:
        between.remove_first(Outcome())
        held.append(between.calls)
    assert held == [2501, 1501, 501, 1, 0]


async def test_a_move_that_no_signal_handler_can_cut_in_two(path: Path) -> None:
    """With a spool batches are moved in a thread, as only the main one runs such handlers."""
    spool, moved = Spool(path), list[threading.Thread]()

    class Watched(Buffer):
        def move(self, batch_size: int, onto: MutableSequence[Batch]) -> None:
            moved.append(threading.current_thread())
            super().move(batch_size, onto)

    spool.open()
    between = Backlog(Watched(Settings()), Reporter(Ledger(), Settings()), spool)
    await between.drain_buffer(last=False)
    await between.close(in_doubt=False)
    assert len(moved) == 2
    assert threading.main_thread() not in moved
