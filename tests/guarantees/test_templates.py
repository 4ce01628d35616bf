"""Templates in Redis: examples rotate with their sets, are bounded, and are read with counts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.model import OTHER, Destination, hour_start
from support.clock import NOON, HandClock

API = Destination("api", "info")
KEY = "common:api:info"


def digits(message: str) -> str:
    """Replace each digit."""
    return "".join("#" if each.isdigit() else each for each in message)


async def examples(client: Redis, key: str) -> dict[str, str]:
    found: dict[Any, Any] = await client.hgetall(f"{key}:examples")
    return {field.decode(): text.decode() for field, text in found.items()}


async def test_examples_rotate_with_their_set(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """Each hour has the examples of its own messages, for as long as its set is kept."""
    async with logcommon.connect(
        valkey_url, clock=clock, template=digits, max_clock_lead=float("inf"), history_hours=2
    ) as log:
        for hour in range(4):
            await log.log_common("api", f"a {hour}")
            assert await examples(valkey, KEY) == {"a #": f"a {hour}"}
            clock.turn()

    assert await examples(valkey, f"{KEY}:last") == {"a #": "a 2"}
    archive = f"{KEY}:{hour_start(NOON + 1):%Y-%m-%dT%H:%M:%S}"
    assert await examples(valkey, archive) == {"a #": "a 1"}
    assert 0 < await valkey.ttl(f"{archive}:examples") <= 3 * 3600


@pytest.mark.parametrize("history_hours", [0, 24])
async def test_an_hour_without_examples_leaves_none_behind(
    valkey_url: str, valkey: Redis, clock: HandClock, history_hours: int
) -> None:
    """The examples of an hour are never taken for those of another."""
    async with logcommon.connect(
        valkey_url,
        clock=clock,
        template=digits,
        max_clock_lead=float("inf"),
        history_hours=history_hours,
    ) as log:
        await log.log_common("api", "a 1")
        for _ in range(2):
            clock.turn()
            await log.log_common("api", "plain")
        assert log.stats.counted == 3
    assert await examples(valkey, KEY) == await examples(valkey, f"{KEY}:last") == {}


async def test_a_full_set_takes_no_examples(
    valkey_url: str, valkey: Redis, clock: HandClock
) -> None:
    """There is an example for members of the set only, so there are never more of them."""
    async with logcommon.connect(valkey_url, clock=clock, template=digits, max_members=3) as log:
        for length in range(1, 8):
            await log.log_common("api", f"{'x' * length} 1")
        assert log.stats.other == 4
    found: list[Any] = await valkey.zrange(KEY, 0, -1)
    members = {member.decode() for member in found}
    assert (await examples(valkey, KEY)).keys() == members - {OTHER}


async def test_rows_have_examples(valkey_url: str, clock: HandClock) -> None:
    """A reader gets the newest example of each template, in the current and in older hours."""
    async with logcommon.connect(
        valkey_url, clock=clock, template=logcommon.template, max_clock_lead=float("inf")
    ) as log:
        for number in (1, 2):
            await log.log_common("api", f"user {number} logged in")
        await log.log_common("api", "hello")
        for _ in range(3):
            rows = await log.top("api", hour=hour_start(NOON))
            assert [(row.count, row.message, row.example) for row in rows] == [
                (2, "user <num> logged in", "user 2 logged in"),
                (1, "hello", None),
            ]
            clock.turn()
            await log.log_common("api", "later")


async def test_templates_are_merged_on_request(valkey_url: str, clock: HandClock) -> None:
    """Templates that differ in words are one row, with what was merged, and the sum is theirs."""
    users = ["alice", "bob", "carol", "dave"]
    async with logcommon.connect(valkey_url, clock=clock, template=logcommon.template) as log:
        for number, user in enumerate(users, 1):
            for _ in range(number):
                log.log_common_nowait("api", f"session {number} opened for user {user}")
        log.log_common_nowait("api", "hello")
        await log.flush()

        assert len(await log.top("api")) == 5
        for merge in (True, None):
            first, second = await log.top("api", merge=merge)
            assert (first.count, first.message) == (10, "session <num> opened for user <*>")
            assert first.example == "session 4 opened for user dave"
            assert [row.count for row in first.merged] == [4, 3, 2, 1]
            assert second.message == "hello"
        (only,) = await log.top("api", n=1, merge=True)
        assert only.count == 10


async def test_messages_without_templates_are_not_merged(valkey_url: str, clock: HandClock) -> None:
    """With `merge=None`, what was counted without templates stays as it was logged."""
    async with logcommon.connect(valkey_url, clock=clock) as log:
        for user in ("alice", "bob", "carol"):
            await log.log_common("api", f"session opened for user {user}")
        assert len(await log.top("api", merge=None)) == 3
        assert len(await log.top("api", merge=True)) == 1


async def test_a_message_of_a_clock_that_is_ahead_keeps_its_example(
    valkey_url: str, valkey: Redis
) -> None:
    """What is moved to the server's hour takes its example along."""
    clock = HandClock()
    clock.now = 4_000_000_000.0
    async with logcommon.connect(valkey_url, clock=clock, template=digits) as log:
        await log.log_common("api", "a 1")
        assert log.stats.ahead == 1
    assert await examples(valkey, KEY) == {"a #": "a 1"}


def _fails(message: str) -> str:
    raise ValueError(message)


@pytest.mark.parametrize(("template", "counted"), [(str.upper, "A 1"), (_fails, "a 1")])
async def test_any_function_is_a_template(
    valkey_url: str, template: Callable[[str], str], counted: str
) -> None:
    """The hook may be any function of text; if it raises, the message is counted as it is."""
    async with logcommon.connect(valkey_url, template=template) as log:
        await log.log_common("api", "a 1")
        (row,) = await log.top("api")
        (entry,) = await log.recent("api")
    assert (row.message, entry.message) == (counted, "a 1")


async def test_a_wrong_template_is_refused() -> None:
    """What is no function is an error at once."""
    with pytest.raises(logcommon.InvalidArgumentError, match="template must be a function"):
        logcommon.connect(template="template")  # type: ignore[arg-type]


async def test_hours_are_not_mistaken_for_their_examples(valkey_url: str, clock: HandClock) -> None:
    """The keys of examples are no hours."""
    async with logcommon.connect(
        valkey_url, clock=clock, template=digits, max_clock_lead=float("inf")
    ) as log:
        for _ in range(4):
            await log.log_common("api", "a 1")
            clock.turn()
        newest = hour_start(clock.hour - 1)
        assert await log.hours("api") == [newest - timedelta(hours=age) for age in range(4)]
