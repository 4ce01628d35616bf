"""An unexpected error loses only the entries that cause it, and is always reported."""

import asyncio
import math
from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.model import Destination
from logcommon.schema.commands import Command, count
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write import transaction, writer
from logcommon.write.backlog import Backlog
from logcommon.write.batch import Batch, separate_failing
from logcommon.write.commit import Commit
from logcommon.write.committer import Committer
from logcommon.write.progress import Progress
from logcommon.write.replays import Replays
from logcommon.write.reporter import Reporter
from logcommon.write.watch import Marker
from support.clock import NOON, HandClock
from support.inside import host_of
from support.layout import read_counts
from support.proxy import Proxy
from support.until import until

API, WEB = Destination("api", "info"), Destination("web", "info")
NO_HOUR = 10**9
"""No calendar has it."""


def fail_for(monkeypatch: pytest.MonkeyPatch, poison: str) -> None:
    """Make counting one message raise."""

    def failing(target: bytes, amount: int, message: str) -> Command:
        if message == poison:
            raise RuntimeError(f"unexpected: {message}")
        return count(target, amount, message)

    monkeypatch.setattr(transaction, "count", failing)


async def test_what_fails_is_dropped_and_the_rest_is_counted(
    valkey_url: str,
    valkey: Redis,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A message that can't be encoded is dropped, with a warning that does not repeat it."""
    fail_for(monkeypatch, "secret")
    async with logcommon.connect(valkey_url, clock=clock) as log:
        for message in ("a", "secret", "b", "secret", "a"):
            log.log_common_nowait("api", message)
        log.log_common_nowait("web", "c")
        with pytest.raises(logcommon.NotWrittenError, match="RuntimeError"):
            await log.log_common("api", "secret")
        async with asyncio.timeout(20):
            await log.log_common("api", "behind it")
        stats = log.stats
        assert (stats.counted, stats.dropped_failed, stats.pending) == (5, 3, 0)
        assert stats.calls == stats.counted + stats.dropped

    assert await read_counts(valkey) == {NOON: Counter({"a": 2, "b": 1, "behind it": 1})}
    assert await read_counts(valkey, "web") == {NOON: Counter(c=1)}
    (text,) = caplog.messages
    assert "3 entries are dropped" in text
    assert "RuntimeError" in text
    assert "secret" not in text + str(stats.last_error)


@pytest.mark.parametrize("fault", ["drop reply", "cut before", "deliver late"])
async def test_what_was_sent_before_it_failed_is_settled_by_the_marker(
    proxy: Proxy,
    valkey: Redis,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    """A batch in doubt that can't be made a transaction again counts if it was executed.

    The commit of the rest aborts an EXEC of the whole that arrives late.
    """
    proxy.faults.extend(["pass", fault])  # type: ignore[list-item]
    proxy.holds = True
    async with logcommon.connect(proxy.url, clock=clock) as log:
        await log.log_common("api", "before")
        waiting = asyncio.create_task(log.log_common("api", "m"))
        await proxy.applies(2)
        fail_for(monkeypatch, "m")
        proxy.gate.set()
        executed = fault == "drop reply"
        if executed:
            await waiting
        else:
            with pytest.raises(logcommon.NotWrittenError):
                await waiting
        await proxy.deliver_late(fault == "deliver late")
        await log.log_common("api", "after")
        assert (log.stats.counted, log.stats.dropped_failed) == (2 + executed, not executed)

    counts = Counter(["before", "after"] + ["m"] * executed)
    assert await read_counts(valkey) == {NOON: counts}


async def test_an_hour_that_no_calendar_has(valkey: Redis) -> None:
    """An entry with an impossible hour, as from a spool, does not block those behind it."""
    ledger = Ledger()
    settings = Settings(max_clock_lead=float("inf"))
    committer = Committer(valkey, settings, Reporter(ledger, settings), "tested", {"tested"})
    good = {(API, NOON): {"a": 2}}
    mixed = Batch(good | {(WEB, NO_HOUR): {"b": 3}}, {WEB: [("b", -math.inf)]}, 1)
    async with asyncio.timeout(20):
        outcome = await committer.commit(mixed)
    assert (outcome.counted, outcome.failed) == (2, 3)
    assert outcome.errors.keys() == {(WEB, NO_HOUR), WEB}
    outcome = await committer.commit(Batch({(WEB, -NO_HOUR): {"b": 3}}, number=2))
    assert (outcome.counted, outcome.failed) == (0, 3)
    outcome = await committer.commit(Batch(good, number=3))
    assert (outcome.counted, outcome.failed) == (2, 0)
    await committer.close(delete_marker=True)
    assert await read_counts(valkey) == {NOON: Counter(a=4)}


def test_if_nothing_fails_by_itself_all_is_set_apart() -> None:
    """A fault that only the whole batch shows drops the whole batch."""
    batch = Batch({(API, NOON): {"a": 1, "b": 2}}, {API: [("a", NOON * 3600.0)]}, 5)
    good, bad = separate_failing(batch, lambda part: None)
    assert (good, bad) == (Batch(number=5), batch)

    def check(part: Batch) -> None:
        if len(part.counts.get((API, NOON), ())) > 1:
            raise MemoryError

    assert separate_failing(batch, check) == (Batch(number=5), batch)


@pytest.mark.parametrize("step", ["drain_buffer", "trim_spool"])
async def test_the_writer_goes_on_after_an_error_of_its_own(
    valkey_url: str,
    valkey: Redis,
    clock: HandClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    """An error between two commits restarts the writer, with a warning; what waits is written."""
    original, errors = getattr(Backlog, step), [ValueError("secret")]

    async def failing(self: Backlog, **options: bool) -> None:
        if errors:
            raise errors.pop()
        await original(self, **options)

    monkeypatch.setattr(Backlog, step, failing)
    async with logcommon.connect(valkey_url, clock=clock, linger=3600) as log:
        for _ in range(2):
            async with asyncio.timeout(20):
                await log.log_common("api", "m")
        await log.flush()
        assert (log.stats.restarts, log.stats.counted, log.stats.pending) == (1, 2, 0)
    assert await read_counts(valkey) == {NOON: Counter(m=2)}
    (text,) = caplog.messages
    assert "ValueError" in text
    assert "secret" not in text


async def test_the_copies_go_on_after_an_error(
    tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that copies the buffer to the spool is restarted too."""
    original, calls = Backlog.copy_regularly, list[str]()

    async def failing(self: Backlog) -> None:
        calls.append("called")
        if len(calls) == 1:
            raise ValueError
        await original(self)

    monkeypatch.setattr(Backlog, "copy_regularly", failing)
    async with logcommon.connect(valkey_url, spool=tmp_path / "spool") as log:
        await until(lambda: len(calls) == 2)
        assert log.stats.restarts == 1


async def test_a_writer_that_is_cancelled_says_so(
    valkey_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling all tasks of an open client logs a warning that later calls are dropped."""
    monkeypatch.setattr(writer, "_CANCELLATION_DELAY", 0)
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api", "m")
        host_of(log).cancel()
        await until(lambda: bool(caplog.messages))
        log.log_common_nowait("api", "m")
        assert (log.stats.counted, log.stats.dropped_closed) == (1, 1)
    (text,) = caplog.messages
    assert "cancelled" in text


async def test_a_close_that_is_cancelled_is_not_warned_of(
    valkey_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose user is cancelled closes as usual, without a warning."""
    monkeypatch.setattr(writer, "_CANCELLATION_DELAY", 0)

    async def use() -> None:
        async with logcommon.connect(valkey_url) as log:
            await log.log_common("api", "m")
            using.set()
            await asyncio.Event().wait()

    using = asyncio.Event()
    task = asyncio.create_task(use())
    await using.wait()
    task.cancel()
    await asyncio.wait([task])
    assert caplog.messages == []


def test_what_was_dropped_from_a_batch_in_doubt() -> None:
    """If another process may have written the batch, all of it is counted as in doubt."""

    def check(part: Batch) -> None:
        if any("secret" in messages for messages in part.counts.values()):
            raise RuntimeError

    progress = Progress(Settings(), Reporter(Ledger(), Settings()), "ours", {"ours"})
    counts = {(API, 5): {"a": 1, "secret": 2}}
    commit = Commit([Batch(counts, number=1, producer="p", edition=2)])
    assert commit.drop_failing(check, "it fails") == 2
    outcome = progress.acknowledge(commit, Marker(1, 1, "another", edition=1))
    assert (outcome.in_doubt, outcome.failed) == (3, 0)


def test_attempts_at_what_is_put_back_go_on_being_numbered() -> None:
    """A marker that an earlier attempt sets late is not mistaken for the next one's."""
    replays = Replays(Settings(), Reporter(Ledger(), Settings()))
    for number in (1, 2, 3):
        batch = Batch({(API, 5): {"a": 1}}, number=number, producer="p", attempts=1)
        replays.finish(Commit([batch]), Outcome(counted=1), number)
    replays.replay_after(1, 4)
    first = replays.next()

    assert first is not None
    assert first.begin_attempt() == 2
    replays.replay_after(0, 5)
    second = replays.next()

    assert second is not None
    assert (len(second.parts), second.begin_attempt()) == (3, 3)
