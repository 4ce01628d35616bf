"""`compare`, `series` and marks on a real server, and in a capture."""

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import Change, CommonLog, InvalidArgumentError, Mark, ServerRefusedError
from logcommon.background import background
from logcommon.model import hour_start
from logcommon.read import comparer
from logcommon.testing import capture
from support.clock import NOON, HandClock

HOUR = timedelta(hours=1)


@pytest.fixture(params=["valkey", "capture"])
async def log(
    request: pytest.FixtureRequest, valkey: Redis, clock: HandClock
) -> AsyncIterator[CommonLog]:
    """A client whose clock is turned by hand, on a server or captured."""
    opened = logcommon.connect(
        valkey, clock=clock, max_clock_lead=float("inf"), template=logcommon.template
    )
    if request.param == "capture":
        with capture():
            async with opened:
                yield opened
    else:
        async with opened:
            yield opened


async def put(log: CommonLog, name: str, severity: str = "info", **counts: int) -> None:
    """Log messages so many times each."""
    await put_all(log, name, counts, severity)


async def put_all(
    log: CommonLog, name: str, counts: dict[str, int], severity: str = "info"
) -> None:
    for message, count in counts.items():
        for _ in range(count):
            log.log_common_nowait(name, message, severity)
    await log.flush()


def kinds(changes: Iterable[Change]) -> dict[str, str]:
    return {change.message: change.kind for change in changes}


async def test_this_hour_and_the_last(log: CommonLog, clock: HandClock) -> None:
    """Each kind of change, with counts, rates, hours and factors."""
    await put(log, "api", back=40, steady=100)
    clock.turn()
    for _ in range(3):
        await put(log, "api", rising=10, falling=800, gone=500, steady=100)
        clock.turn()
    await put(log, "api", rising=900, falling=10, new=70, back=40, steady=50)
    clock.now = (NOON + 4) * 3600 + 1800

    found = await log.compare("api")
    changes = {change.message: change for change in found.changes}
    assert kinds(found.changes) == {
        each: each for each in ("rising", "falling", "gone", "new", "back", "steady")
    }
    assert found.after.hours == (hour_start(NOON + 4),)
    assert found.before.hours == (hour_start(NOON + 3),)
    assert (found.after.seconds, found.before.seconds) == (1800, 3600)

    rising = changes["rising"]
    assert (rising.before, rising.after) == (10, 900)
    assert (rising.rate_before, rising.rate_after) == (10, 1800)
    assert 2 < rising.at_least < 180
    assert changes["steady"].at_least == 1.0
    assert (rising.first_seen, rising.last_seen) == (hour_start(NOON + 1), hour_start(NOON + 4))
    assert changes["back"].first_seen == hour_start(NOON)
    assert changes["gone"].last_seen == hour_start(NOON + 3)
    assert found.changes[-1].kind == "steady"


async def test_a_service_that_was_quiet(log: CommonLog, clock: HandClock) -> None:
    """The last active hour is compared with, and an old hour is never taken for this one."""
    await put(log, "api", a=500)
    clock.turn(5)
    found = await log.compare("api")
    assert found.before.hours == (hour_start(NOON),)
    assert found.after.hours == (hour_start(NOON + 5),)
    assert [(each.before, each.after) for each in found.changes] == [(500, 0)]


async def test_an_hour_in_which_only_others_logged(log: CommonLog, clock: HandClock) -> None:
    """The hour before is that of the whole service: no errors then were no errors."""
    await put(log, "api", "error", a=30)
    clock.turn()
    await put(log, "api", "info", b=30)
    clock.turn()
    await put(log, "api", "error", a=30)
    found = await log.compare("api", "error")
    assert found.before.hours == (hour_start(NOON + 1),)
    assert [(each.kind, each.before, each.after) for each in found.changes] == [("back", 0, 30)]


async def test_all_services_and_severities(log: CommonLog, clock: HandClock) -> None:
    """Changes of all are ranked together, each with its destination; `n` is the most of them."""
    for errors, calls in ((10, 10), (900, 90)):
        await put(log, "api", "error", a=errors)
        await put(log, "web", b=calls, c=10)
        clock.turn()
    found = await log.compare(after=hour_start(clock.hour - 1), n=2)
    assert [(*each.destination, each.message) for each in found.changes] == [
        ("api", "error", "a"),
        ("web", "info", "b"),
    ]


async def test_other_windows(log: CommonLog, clock: HandClock) -> None:
    """An hour can be compared with another one, with that of yesterday and with all kept hours."""
    for count in (100, *[10] * 23, 900):
        await put(log, "api", a=count)
        clock.turn()
    after = hour_start(NOON + 24)
    counts = {}
    for before in ("yesterday", hour_start(NOON + 20) + HOUR / 2, "history"):
        found = await log.compare("api", after=after, before=before)
        (change,) = found.changes
        counts[before] = (change.before, len(found.before.hours))
    assert list(counts.values()) == [(100, 1), (10, 1), (330, 24)]
    with pytest.raises(InvalidArgumentError, match="give since, or after and before"):
        await log.compare("api", after=after, since=after)
    with pytest.raises(InvalidArgumentError, match="n must be"):
        await log.compare("api", n=0)


async def test_since_a_mark(log: CommonLog, clock: HandClock) -> None:
    """Whole hours after the marked one are compared with those before it."""
    assert await log.marks() == []
    await put(log, "api", a=100)
    clock.turn()
    mark = await log.mark(" v1.4.2\n")
    await put(log, "api", a=100, b=1)
    found = await log.compare("api", since="v1.4.2")
    assert found.after.hours == (hour_start(NOON + 1),)

    clock.turn()
    await put(log, "api", a=100, b=80)
    for since in ("v1.4.2", mark.time):
        found = await log.compare("api", since=since)
        assert (found.after.hours, found.before.hours) == (
            (hour_start(NOON + 2),),
            (hour_start(NOON),),
        )
        assert kinds(found.changes)["b"] == "back"
    assert await log.marks() == [mark] == [Mark(mark.time, "v1.4.2")]
    assert mark.time.timestamp() // 3600 == NOON + 1
    with pytest.raises(InvalidArgumentError, match=r"no mark 'v2'; the newest are 'v1.4.2'"):
        await log.compare("api", since="v2")


@pytest.mark.parametrize("text", ["", " \n", "x" * 257, 5])
async def test_a_mark_that_cannot_be_used(log: CommonLog, text: str) -> None:
    """An empty or long text, or what is none, is refused, and nothing is noted."""
    with pytest.raises(InvalidArgumentError, match="a mark must"):
        await log.mark(text)
    assert await log.marks() == []


async def test_templates_have_examples(valkey: Redis, clock: HandClock) -> None:
    """A merged template has the example of one of its templates."""
    async with logcommon.connect(valkey, clock=clock, template=logcommon.template) as log:
        for name in ("alice", "bob", "carol"):
            await log.log_common("api", f"user {name} paid order 17")
        (change,) = (await log.compare("api")).changes
        assert change.message == "user <*> paid order <num>"
        assert change.example in {
            f"user {name} paid order 17" for name in ("alice", "bob", "carol")
        }
        assert len((await log.compare("api", merge=False)).changes) == 3


async def test_other_rules_are_no_wave_of_new_messages(valkey: Redis, clock: HandClock) -> None:
    """A template of older rules is compared as the one that its example has today."""

    def older(message: str) -> str:
        return message.replace("17", "<*>")

    for template, orders in ((older, 500), (logcommon.template, 900)):
        async with logcommon.connect(valkey, clock=clock, template=template) as log:
            await put_all(log, "api", {"order 17": orders, "plain": 100})
            found = await log.compare("api")
            clock.turn()
    changes = {change.message: change for change in found.changes}
    assert changes.keys() == {"order <num>", "plain"}
    order = changes["order <num>"]
    assert (order.before, order.after, order.example) == (500, 900, "order 17")
    assert order.first_seen == hour_start(NOON)


async def test_rules_that_raise_rename_nothing(valkey: Redis, clock: HandClock) -> None:
    """A hook that fails leaves the templates of older rules as they are."""

    def broken(message: str) -> str:
        raise ValueError(message)

    async with logcommon.connect(valkey, clock=clock, template=logcommon.template) as log:
        await put_all(log, "api", {"order 17": 5})
        clock.turn()
    async with logcommon.connect(valkey, clock=clock, template=broken) as log:
        await put_all(log, "api", {"<num> orders": 5})
        assert len((await log.compare("api")).changes) == 2


async def test_of_large_sets_only_the_most_common_are_read(
    valkey: Redis, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is common in one hour has its true count in the other."""
    monkeypatch.setattr(comparer, "_MOST_OF_HOUR", 2)
    async with logcommon.connect(valkey, clock=clock) as log:
        await put(log, "api", a=500, b=400, c=3, d=2)
        clock.turn()
        await put(log, "api", c=600, d=500, a=3, b=2)
        found = {each.message: (each.before, each.after) for each in await changes_of(log)}
        assert found == {"a": (500, 3), "b": (400, 2), "c": (3, 600), "d": (2, 500)}


async def changes_of(log: CommonLog) -> tuple[Change, ...]:
    return (await log.compare("api")).changes


async def test_what_cannot_be_read_is_an_error(valkey: Redis, clock: HandClock) -> None:
    """A key of the wrong type is named; a service that never logged has no changes."""
    async with logcommon.connect(valkey, clock=clock) as log:
        assert await changes_of(log) == ()
        await put(log, "api", a=1)
        await valkey.delete("common:api:info")
        await valkey.set("common:api:info", "foreign")
        with pytest.raises(ServerRefusedError, match="common:api:info"):
            await changes_of(log)


async def test_a_message_hour_by_hour(log: CommonLog, clock: HandClock) -> None:
    """Hours in which others were counted have 0, and destinations are added up."""
    await put(log, "api", a=2, b=1)
    clock.turn()
    await put(log, "api", b=1)
    clock.turn()
    await put(log, "api", a=3)
    await put(log, "api", "error", a=5)
    clock.turn()
    series = await log.series("a", "api", None)
    assert series.counts == {
        hour_start(NOON): 2,
        hour_start(NOON + 1): 0,
        hour_start(NOON + 2): 8,
    }
    assert (series.first_seen, series.last_seen) == (hour_start(NOON), hour_start(NOON + 2))
    assert sum((await log.series("a", "api")).counts.values()) == 5
    never = await log.series("z", "api")
    assert (never.first_seen, never.last_seen, set(never.counts.values())) == (None, None, {0})


async def test_the_histories_of_rows(log: CommonLog, clock: HandClock) -> None:
    """Each row of `top` has its counts by hour, with what was merged into it."""
    for hour in range(2):
        for name in ("alice", "bob", "carol"):
            for _ in range(1 + hour):
                await log.log_common("api", f"user {name} paid order 17")
            await put(log, "api", other=1)
        clock.turn()
    rows = await log.top("api", hour=hour_start(NOON + 1), merge=True)
    series = await log.histories(rows)
    assert [list(each.counts.values()) for each in series] == [[3, 6], [3, 3]]
    assert [each.message for each in series] == ["user <*> paid order <num>", "other"]
    assert await log.histories([]) == []


def test_a_client_in_the_background_compares_as_well(valkey_url: str) -> None:
    """Its methods take the same arguments, and wait for the answer."""
    log = background(valkey_url)
    log.log_common_nowait("api", "a")
    log.flush()
    log.mark("v1")
    assert [mark.text for mark in log.marks()] == ["v1"]
    assert [each.message for each in log.compare("api").changes] == ["a"]
    assert [each.message for each in log.compare(since="v1").changes] == ["a"]
    assert sum(log.series("a", "api").counts.values()) == 1
    (history,) = log.histories(log.top("api"))
    assert list(history.counts.values()) == [1]
    log.close()


async def test_foreign_entries_are_no_marks(valkey: Redis) -> None:
    """What other programs put into the list is left out."""
    async with logcommon.connect(valkey) as log:
        await valkey.rpush("logcommon:marks", "no time", "2026-13-01 x")
        mark = await log.mark("v1")
        assert await log.marks() == [mark]
