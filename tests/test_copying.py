"""Counts go from one server to another, each hour exactly once, whatever happens meanwhile."""

import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import ServerUnavailableError
from logcommon.copying import Copy
from logcommon.model import Destination
from support.clock import NOON, HandClock
from support.layout import read_counts, read_minutes
from support.proxy import Fault, Proxy
from support.servers import valkey_server

DESTINATIONS = [("api", "info"), ("api", "error"), ("web", "info")]


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Redis]:
    """An empty server."""
    with valkey_server(tmp_path) as server:
        async with Redis(port=server.port) as client:
            yield client


async def fill(source: Redis, clock: HandClock) -> None:
    """Log over some hours, with templates, recent logs, a mark and a mute."""
    async with logcommon.connect(
        source, clock=clock, template=logcommon.template, max_clock_lead=math.inf
    ) as log:
        for hour in (0, 1, 1, 2, -3):
            clock.turn(hour)
            for number in range(50):
                log.log_common_nowait("api", f"order {number} taken")
                log.log_common_nowait("api", f"message {'x' * number}", "error")
                log.log_common_nowait("web", "seen")
            await log.flush()
        await log.mark("v1")
        await log.mark("v2")
        await log.mute("seen")


async def contents(client: Redis) -> list[Any]:
    """Return all that is kept, but for how it is spread over keys."""
    found: list[Any] = []
    for destination in DESTINATIONS:
        minutes: dict[int, int] = {}
        for calls in (await read_minutes(client, *destination)).values():
            minutes |= calls
        key = f"recent:{destination[0]}:{destination[1]}"
        found += await read_counts(client, *destination), minutes, await client.lrange(key, 0, -1)
    async with logcommon.connect(client, clock=HandClock(NOON + 4)) as log:
        found += await log.marks(), await log.mutes(), await log.destinations()
        newest, *_ = await log.hours("api")
        found.append([row.example for row in await log.top("api", hour=newest)])
    return found


async def run(copying: Copy, most: int | None = None) -> list[str]:
    """Copy so many hours, or all; return what became of each."""
    await copying.plan()
    outcomes: list[str] = []
    steps = copying.run()
    async for step in steps:
        outcomes.append(step.outcome)
        if len(outcomes) == most:
            break
    await steps.aclose()
    return outcomes


async def test_everything_is_copied(valkey: Redis, target: Redis, clock: HandClock) -> None:
    """Counts, minutes, examples, recent logs, marks, mutes and the registry; once, if repeated."""
    await fill(valkey, clock)
    assert set(await run(Copy(valkey, target, "source"))) == {"copied"}
    assert await contents(target) == await contents(valkey)
    assert set(await run(Copy(valkey, target, "source"))) == {"copied before"}
    assert await contents(target) == await contents(valkey)


@pytest.mark.parametrize("most", [1, 5, 11])
async def test_it_goes_on_where_it_stopped(
    valkey: Redis, target: Redis, clock: HandClock, most: int
) -> None:
    """After any hour; what was copied is not copied again."""
    await fill(valkey, clock)
    await run(Copy(valkey, target, "source"), most)
    outcomes = await run(Copy(valkey, target, "source"))
    assert outcomes == ["copied before"] * most + ["copied"] * (len(outcomes) - most)
    assert await contents(target) == await contents(valkey)


async def test_connections_that_are_cut(valkey: Redis, target: Redis, clock: HandClock) -> None:
    """Before or after the target has executed a transaction: each hour is copied once.

    A read that fails ends the copy; the next one goes on.
    """
    await fill(valkey, clock)
    port = target.connection_pool.connection_kwargs["port"]
    faults: list[Fault] = ["drop reply", "pass", "cut before", "pass", "pass"]
    async with Proxy(port) as proxy, Redis(port=proxy.port) as through:
        proxy.faults.extend(faults * 8)
        is_copied = False
        while not is_copied:
            with contextlib.suppress(ServerUnavailableError):
                await run(Copy(valkey, through, "source"))
                is_copied = True
        assert not proxy.faults
    assert await contents(target) == await contents(valkey)


async def test_hours_that_the_target_has(valkey: Redis, target: Redis, clock: HandClock) -> None:
    """They are left alone, or added to if that is wanted."""
    await fill(valkey, clock)
    clock.turn(NOON + 4 - clock.hour)
    async with logcommon.connect(target, clock=clock, max_clock_lead=math.inf) as log:
        await log.log_common("api", "order <num> taken")
    outcomes = await run(Copy(valkey, target, "source"))
    assert outcomes.count("in the target already") == 1
    assert (await read_counts(target))[NOON + 4] == {"order <num> taken": 1}

    outcomes = await run(Copy(valkey, target, "source", is_adding=True))
    assert outcomes.count("copied") == 1
    assert (await read_counts(target))[NOON + 4] == {"order <num> taken": 51}


async def test_a_destination_without_a_recent_log(
    valkey: Redis, target: Redis, clock: HandClock
) -> None:
    """Its hours are copied all the same."""
    await fill(valkey, clock)
    await valkey.delete("recent:web:info")
    await run(Copy(valkey, target, "source"))
    assert await contents(target) == await contents(valkey)


async def test_some_services(valkey: Redis, target: Redis, clock: HandClock) -> None:
    """The others are left out."""
    await fill(valkey, clock)
    await run(Copy(valkey, target, "source", ["web"]))
    async with logcommon.connect(target) as log:
        assert await log.destinations() == [Destination("web", "info")]


async def test_a_source_that_is_still_written_to(
    valkey: Redis, target: Redis, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged while an hour is copied is noticed."""
    await fill(valkey, clock)
    read = Copy._content
    busy = [NOON]

    async def content(self: Copy, unit: Any) -> Any:
        found = await read(self, unit)
        if unit.hour in busy and unit.destination == ("web", "info"):
            busy.clear()
            async with logcommon.connect(valkey, clock=lambda: NOON * 3600.0) as log:
                await log.log_common("web", "seen")
        return found

    monkeypatch.setattr(Copy, "_content", content)
    assert (await run(Copy(valkey, target, "source"))).count("changed meanwhile") == 1


async def test_what_the_target_refuses(valkey: Redis, target: Redis, clock: HandClock) -> None:
    """A key of the wrong type keeps its hours from being copied; the others are."""
    await fill(valkey, clock)
    await target.set("common:web:info", "x")
    outcomes = await run(Copy(valkey, target, "source"))
    assert sum("WRONGTYPE" in each for each in outcomes) > 0
    assert await read_counts(target) == await read_counts(valkey)
