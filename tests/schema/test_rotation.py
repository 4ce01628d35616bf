"""In which set entries are counted, and what moves first; run on an imitation of Redis."""

from collections import Counter
from typing import Any

from fakeredis import FakeRedis
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from logcommon.model import HOUR_SECONDS, Destination, Hour
from logcommon.schema.commands import Command, count
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import HourState, is_missing_set, plan_hour
from support.clock import NOON

KEYS = destination_keys(Destination("api", "info"))
LONG = 1_000_000  # a history that keeps everything


def run(redis: FakeRedis, hour: Hour, history_hours: int = LONG) -> bool:
    """Count a message named after its hour, as a transaction would; False where it is too late."""
    state = state_of(redis)
    plan = plan_hour(KEYS, state, hour, history_hours)
    if plan.key is None:
        return False

    for command in (*plan.before, count(plan.key, 1, str(hour)), *plan.after):
        execute(redis, command)
    assert state_of(redis) == plan.state
    return True


def state_of(redis: FakeRedis) -> HourState:
    """Return which hours the sets hold."""
    start: Any = redis.get(KEYS.start)
    previous: Any = redis.get(KEYS.previous_start)
    return HourState.read(start, previous)


def execute(redis: FakeRedis, command: Command) -> None:
    try:
        redis.execute_command(*command)  # type: ignore[no-untyped-call]  # fakeredis
    except ResponseError as error:
        if not is_missing_set(command, error):
            raise


def members(redis: FakeRedis, key: bytes) -> dict[bytes, float]:
    pairs: Any = redis.zrange(key, 0, -1, withscores=True)
    return dict(pairs)


@given(st.lists(st.integers(NOON - 40, NOON + 40)))
def test_each_entry_counts_in_its_own_hour(hours: list[Hour]) -> None:
    """In whatever order hours come, each has a set of its own, and `:start` only goes forward."""
    redis = FakeRedis()
    highest = 0
    for hour in hours:
        assert run(redis, hour)
        highest = max(highest, hour)
        assert state_of(redis).start == highest

    seen = Counter(hours)
    ordered = sorted(seen, reverse=True)
    places = [KEYS.current, KEYS.last, *map(KEYS.hour, ordered[2:])]
    for hour, place in zip(ordered, places, strict=False):
        assert members(redis, place) == {str(hour).encode(): float(seen[hour])}


@given(st.lists(st.integers(NOON - 10, NOON + 10)), st.integers(0, 3))
def test_only_what_is_older_than_the_history_is_too_late(
    hours: list[Hour], history_hours: int
) -> None:
    """An entry is refused only if its hour is further before `:last` than history goes."""
    redis = FakeRedis()
    for hour in hours:
        previous = state_of(redis).previous
        too_late = previous is not None and hour < previous - history_hours
        assert run(redis, hour, history_hours) != too_late


def test_a_missing_set_leaves_last_empty() -> None:
    """If the hour turns while the current set is gone, `:last` is empty, not an hour older."""
    redis = FakeRedis()
    run(redis, NOON)
    run(redis, NOON + 1)
    redis.delete(KEYS.current)
    run(redis, NOON + 2)
    assert members(redis, KEYS.last) == {}
    assert members(redis, KEYS.hour(NOON)) == {str(NOON).encode(): 1.0}


def test_without_history_only_the_books_keys_exist() -> None:
    """With history off, an hour that leaves `:last` is gone, as in the book."""
    redis = FakeRedis()
    for hour in range(NOON, NOON + 4):
        run(redis, hour, history_hours=0)
    assert set(redis.keys()) == {KEYS.current, KEYS.start, KEYS.last, KEYS.previous_start}
    assert members(redis, KEYS.last) == {str(NOON + 2).encode(): 1.0}


def test_without_history_a_missing_set_leaves_last_empty() -> None:
    """With history off too, no older hour stays behind under `:last`."""
    redis = FakeRedis()
    for hour in (NOON, NOON + 1):
        run(redis, hour, history_hours=0)
    redis.delete(KEYS.current)
    run(redis, NOON + 2, history_hours=0)
    assert members(redis, KEYS.last) == {}


def test_without_history_an_hour_between_displaces_last() -> None:
    """With history off, an hour that becomes `:last` is not mixed with the one that was."""
    redis = FakeRedis()
    for hour in (NOON, NOON + 5, NOON + 3):
        run(redis, hour, history_hours=0)
    assert members(redis, KEYS.last) == {str(NOON + 3).encode(): 1.0}


def test_history_expires() -> None:
    """An hour older than `:last` has an expiry, even if late entries make its key."""
    redis = FakeRedis()
    for hour in (NOON, NOON + 1, NOON + 2, NOON - 3):
        run(redis, hour, history_hours=24)
    for hour in (NOON, NOON - 3):
        assert 24 * HOUR_SECONDS < redis.ttl(KEYS.hour(hour)) <= 25 * HOUR_SECONDS
    for key in (KEYS.current, KEYS.last):
        assert redis.ttl(key) == -1


def test_a_set_that_the_printed_listing_left_is_adopted() -> None:
    """Counts without `:start` are kept, and rotation begins."""
    redis = FakeRedis()
    redis.zincrby(KEYS.current, 7, "old")
    run(redis, NOON)
    assert members(redis, KEYS.current) == {b"old": 7.0, str(NOON).encode(): 1.0}
    run(redis, NOON + 1)
    assert members(redis, KEYS.last) == {b"old": 7.0, str(NOON).encode(): 1.0}
