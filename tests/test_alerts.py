"""Changes as a stream: each that someone should look at, once an hour, whoever watches."""

import asyncio
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import Change, ClientClosedError, CommonLog, InvalidArgumentError
from logcommon.testing import capture
from support.clock import NOON, HandClock
from support.servers import valkey_server
from support.until import until

SOON = 0.001


@pytest.fixture
def log(anywhere: CommonLog) -> CommonLog:
    """A client whose clock is turned by hand, on a server or captured."""
    return anywhere


async def put(log: CommonLog, name: str = "api", **counts: int) -> None:
    for message, count in counts.items():
        await put_all(log, message, count, name)


async def put_all(log: CommonLog, message: str, count: int, name: str = "api") -> None:
    for _ in range(count):
        log.log_common_nowait(name, message)
    await log.flush()


async def history(log: CommonLog, clock: HandClock) -> None:
    """Log five hours, and begin a sixth."""
    await put(log, back=50)
    clock.turn()
    for _ in range(4):
        await put(log, steady=500, rising=20, falling=900, gone=300)
        clock.turn()
    clock.now += 1800


async def taken(
    log: CommonLog, count: int, *, at_least: float = 1.5, least: int = 5
) -> list[Change]:
    """Return so many changes as they come; there are no more."""
    changes = log.changes("api", interval=SOON, at_least=at_least, least=least)
    found = [await asyncio.wait_for(anext(changes), 30) for _ in range(count)]
    assert await log._take_changes("api", None, at_least, least) == []
    return found


async def test_what_is_more_than_before(log: CommonLog, clock: HandClock) -> None:
    """New, returning and rising messages come once an hour; in the next hour again."""
    await history(log, clock)
    await put(log, steady=250, rising=400, falling=20, new=50, back=50)
    found = await taken(log, 3)
    assert {(each.kind, each.message) for each in found} == {
        ("new", "new"),
        ("rising", "rising"),
        ("rising", "back"),
    }
    assert all(each.at_least >= 1.5 for each in found)
    assert await taken(log, 0) == []

    clock.turn()
    await put(log, steady=250, another=50)
    assert [each.message for each in await taken(log, 1)] == ["another"]


async def test_bounds(log: CommonLog, clock: HandClock) -> None:
    """A factor and a count that are not reached alarm nobody."""
    await history(log, clock)
    await put(log, steady=250, rising=400, new=50)
    assert await taken(log, 0, at_least=1_000) == []
    assert await taken(log, 0, least=401) == []
    assert [each.message for each in await taken(log, 1, least=51)] == ["rising"]


async def test_a_new_service_alarms_nobody(log: CommonLog, clock: HandClock) -> None:
    """All of its messages are new; a new severity of a known service does."""
    await put(log, "other", a=500)
    await put(log, a=500)
    assert await taken(log, 0) == []
    clock.turn()
    for _ in range(50):
        log.log_common_nowait("api", "it broke", "error")
    await log.flush()
    (change,) = await taken(log, 1)
    assert (change.kind, change.destination.severity) == ("new", "error")


async def test_a_message_comes_later(log: CommonLog, clock: HandClock) -> None:
    """The stream waits for it."""
    await history(log, clock)
    changes = log.changes(interval=SOON)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    await put(log, steady=250, new=50)
    assert (await asyncio.wait_for(waiting, 30)).message == "new"


async def test_watchers_share_the_changes(valkey: Redis, clock: HandClock) -> None:
    """Of several at the same time, one gets each change; after a restart none comes again."""
    async with logcommon.connect(valkey, clock=clock, max_clock_lead=float("inf")) as log:
        await history(log, clock)
        for number in range(20):
            await put_all(log, f"new {number}", 50)
        found: list[str] = []

        async def watch() -> None:
            async with logcommon.connect(valkey, clock=clock) as watcher:
                async for change in watcher.changes(interval=SOON, least=10):
                    found.append(change.message)  # noqa: PERF401  # as they come

        watchers = [asyncio.create_task(watch()) for _ in range(5)]
        await until(lambda: len(found) >= 20)
        for each in watchers:
            each.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        assert sorted(found) == sorted(f"new {number}" for number in range(20))
        assert await taken(log, 0) == []

        (key,) = await valkey.keys("logcommon:claims:*")
        assert 3600 < await valkey.ttl(key) <= 7200
        assert not any(b"new" in member for member in await valkey.smembers(key))


async def test_a_server_that_goes_away_is_waited_for(tmp_path: Path, clock: HandClock) -> None:
    """The stream goes on when it is back."""
    with valkey_server(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}/"
        async with logcommon.connect(url, clock=clock, max_clock_lead=float("inf")) as log:
            await history(log, clock)
            changes = log.changes(interval=SOON)
            waiting = asyncio.ensure_future(anext(changes))
            server.terminate()
            for _ in range(50):
                log.log_common_nowait("api", "new")
            await asyncio.sleep(0)
            server.start()
            assert (await asyncio.wait_for(waiting, 30)).message == "new"


@pytest.mark.parametrize("options", [{"interval": 0}, {"at_least": 0.5}, {"least": 0}])
async def test_numbers_that_cannot_be_used(valkey: Redis, options: dict[str, float]) -> None:
    """They are refused at once."""
    async with logcommon.connect(valkey) as log:
        with pytest.raises(InvalidArgumentError, match="at least 1"):
            await anext(log.changes(**options))  # type: ignore[arg-type]


async def test_a_client_that_is_not_open(valkey: Redis) -> None:
    """It says so, instead of waiting for ever."""
    with pytest.raises(ClientClosedError):
        await anext(logcommon.connect(valkey).changes())


async def test_claims_may_begin_while_a_capture_ends(valkey: Redis, clock: HandClock) -> None:
    """They are made in Redis then; what is cleared can be claimed again."""
    from logcommon.alerts import Claims

    async with logcommon.connect(valkey, clock=clock, max_clock_lead=float("inf")) as log:
        with capture() as captured:
            take = Claims.take
            await history(log, clock)
            await put(log, steady=250, new=50)
            (change,) = await taken(log, 1)
            captured.clear()
            assert captured.claim(NOON, [change, change]) == [change, change]
        assert await take(Claims(valkey), NOON, [change]) == [change]
        assert await take(Claims(valkey), NOON, [change]) == []
        assert await take(Claims(valkey), NOON, []) == []


def test_a_client_in_the_background(
    valkey_url: str, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the same stream, for code without an event loop."""
    with logcommon.background(valkey_url, clock=clock, max_clock_lead=float("inf")) as log:

        def put(message: str, count: int) -> None:
            for _ in range(count):
                log.log_common_nowait("api", message)
            log.flush()

        def pause(seconds: float) -> None:
            paused.append(seconds)
            put("new", 10)

        paused: list[float] = []
        background = sys.modules["logcommon.background"]  # the package has a function of this name
        monkeypatch.setattr(background, "time", SimpleNamespace(**vars(time) | {"sleep": pause}))

        put("steady", 100)
        clock.turn()
        changes = log.changes("api", interval=SOON, least=20)
        put("new", 10)
        assert next(changes).message == "new"
        assert paused == [SOON]
        with pytest.raises(InvalidArgumentError):
            next(log.changes(interval=0))
