"""Muted messages: marked, without alerts, and back when they are over or rise."""

import json
import math

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import CommonLog, Counted, Destination, InvalidArgumentError
from logcommon.mutes import MOST_MUTES, Mutes
from logcommon.testing import capture
from support.clock import NOON, HandClock

API, WEB = Destination("api", "info"), Destination("web", "info")
A_DAY = 86_400


@pytest.fixture
def log(anywhere: CommonLog) -> CommonLog:
    """A client whose clock is turned by hand, on a server or captured."""
    return anywhere


async def put(log: CommonLog, count: int, message: str = "known", name: str = "api") -> None:
    for _ in range(count):
        log.log_common_nowait(name, message)
    await log.flush()


async def muted(log: CommonLog, name: str | None = "api") -> list[str]:
    """Return what is muted among the most common messages, and among the changes."""
    rows = {row.message for row in await log.top(name) if row.muted}
    changes = (await log.compare(name)).changes
    assert rows == {each.message for each in changes if each.muted}
    return sorted(rows)


async def test_a_muted_message_is_marked_until_it_is_over(log: CommonLog, clock: HandClock) -> None:
    """Others are not; when its time is over, or somebody unmutes it, it is like the others."""
    await put(log, 5)
    await put(log, 3, "other")
    made = await log.mute("known", A_DAY)
    assert (made.until_rises, made.until) == (None, made.since.replace(day=28))
    assert await muted(log) == ["known"]
    assert await log.mutes() == [made]

    clock.now += A_DAY
    await put(log, 5)
    assert (await muted(log), await log.mutes()) == ([], [])

    await log.mute("known", None)
    assert await muted(log) == ["known"]
    assert await log.unmute("known")
    assert await muted(log) == []
    assert not await log.unmute("known")


async def test_it_raises_no_alert(log: CommonLog, clock: HandClock) -> None:
    """A new message does, unless it is muted."""
    await put(log, 100, "steady")
    clock.turn()
    await put(log, 100)
    await put(log, 100, "other")
    await log.mute("known")
    found = await log._take_changes("api", None, 1.5, 5)
    assert [each.message for each in found] == ["other"]


async def test_it_comes_back_when_it_rises(log: CommonLog, clock: HandClock) -> None:
    """Its rate must exceed the factor by more than chance, with the time that has passed."""
    clock.now += 1_795  # half an hour
    await put(log, 100)
    made = await log.mute("known", until_rises=5)
    assert made.before == {API: Counted(100, 0.5)}
    await put(log, 300)
    assert await muted(log) == ["known"]
    clock.turn()
    await put(log, 500)
    assert await muted(log) == ["known"]
    await put(log, 200)
    assert await muted(log) == []
    found = await log._take_changes("api", None, 1.0, 5)
    assert [each.message for each in found] == ["known"]


async def test_a_burst_is_what_it_was_muted_at(log: CommonLog, clock: HandClock) -> None:
    """The busier one of the last two hours counts, so muting in a burst helps."""
    await put(log, 1_000)
    clock.turn()
    await put(log, 1)
    made = await log.mute("known", until_rises=2)
    assert made.before == {API: Counted(1_000, 1.0)}
    clock.turn()
    await put(log, 2)
    assert await muted(log) == ["known"]


async def test_a_service_that_was_restarted(log: CommonLog, clock: HandClock) -> None:
    """Its rate is that of the time since then; by the whole hour so far it would not be enough."""
    await put(log, 4_000)
    clock.now = (NOON + 1) * 3_600 - 1
    await log.mute("known", until_rises=5)
    clock.now = (NOON + 3) * 3_600 + 1_200
    for _ in range(10):
        await put(log, 600)
        clock.now += 60
    (change,) = (await log.compare("api")).changes
    assert (change.rate_after, change.muted) == (36_000, False)


async def test_another_service_in_which_it_comes_up(log: CommonLog, clock: HandClock) -> None:
    """Where it was not counted when it was muted, it comes back if there is much of it."""
    clock.now += 1_795  # half an hour
    await put(log, 10)
    await log.mute("known", until_rises=5)
    await put(log, 5, name="web")
    assert await muted(log, "web") == ["known"]
    await put(log, 200, name="web")
    assert await muted(log, "web") == []
    assert await muted(log, "api") == ["known"]


async def test_a_merged_message_is_muted_with_its_text_or_all_its_members(log: CommonLog) -> None:
    """Muting some of the members alone hides nothing of the others."""
    for user in ("alice", "bob", "carol"):
        await put(log, 1, f"user {user} paid order <num>")
    for user in ("alice", "bob"):
        await log.mute(f"user {user} paid order <num>")
    (row,) = await log.top("api", merge=True)
    assert not row.muted
    await log.mute("user carol paid order <num>")
    (row,) = await log.top("api", merge=True)
    assert row.muted
    await log.unmute("user carol paid order <num>")
    await log.mute(row.message)
    (row,) = await log.top("api", merge=True)
    assert row.muted


@pytest.mark.parametrize(
    ("seconds", "until_rises"), [(0, None), (A_DAY * 367, None), (A_DAY, 1), (A_DAY, math.inf)]
)
async def test_arguments_that_cannot_be_used(
    log: CommonLog, seconds: float, until_rises: float | None
) -> None:
    """They are refused, and nothing is muted."""
    with pytest.raises(InvalidArgumentError):
        await log.mute("known", seconds, until_rises=until_rises)
    with pytest.raises(InvalidArgumentError, match="must be text"):
        await log.mute(b"known")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="must be text"):
        await log.unmute(b"known")  # type: ignore[arg-type]
    assert await log.mutes() == []


async def test_mutes_are_bounded(valkey: Redis, clock: HandClock) -> None:
    """Those that are over are deleted with the next, and one of the held ones can be renewed."""
    async with logcommon.connect(valkey, clock=clock) as log:
        for number in range(MOST_MUTES):
            await log.mute(f"message {number}", A_DAY)
        with pytest.raises(InvalidArgumentError, match="1,000 messages are muted already"):
            await log.mute("one more")
        await log.mute("message 7", 2 * A_DAY)
        clock.now += A_DAY
        await log.mute("one more")
        assert set(await valkey.hkeys("logcommon:mutes")) == {b"message 7", b"one more"}


async def test_what_another_program_wrote_is_left_out(valkey: Redis) -> None:
    """A field that is no mute, or one of a later version, hides none of the others."""
    async with logcommon.connect(valkey) as log:
        await log.mute("known")
        await valkey.hset("logcommon:mutes", "a", "no JSON")
        await valkey.hset("logcommon:mutes", "b", json.dumps({"since": 1}))
        await valkey.hset("logcommon:mutes", "c", json.dumps([]))
        assert [each.message for each in await log.mutes()] == ["known"]


async def test_reading_goes_on_without_mutes(
    valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """If the key can't be read, rows are shown unmarked, with a warning."""
    await valkey.set("logcommon:mutes", "x")
    async with logcommon.connect(valkey) as log:
        await put(log, 5)
        assert await muted(log) == []
    assert "mutes were left out: " in caplog.text
    assert "logcommon:mutes" in caplog.text


async def test_muting_may_begin_while_a_capture_ends(valkey: Redis, clock: HandClock) -> None:
    """It is in Redis then, and a cleared capture has none."""
    async with logcommon.connect(valkey, clock=clock) as log:
        with capture() as captured:
            remove = Mutes.remove
            await log.mute("captured")
            assert list(captured.mutes) == ["captured"]
            captured.clear()
            assert await log.mutes() == []
        await log.mute("in Redis")
        assert await remove(Mutes(valkey, clock), "in Redis")


def test_a_client_in_the_background(valkey_url: str) -> None:
    """It mutes and unmutes as well."""
    with logcommon.background(valkey_url) as log:
        log.mute("known", until_rises=3)
        assert [each.message for each in log.mutes()] == ["known"]
        assert log.unmute("known")
        assert WEB not in log.destinations()
