"""The commands of our transactions, run on an imitation of Redis."""

from typing import Any

from fakeredis import FakeRedis

from logcommon.model import RECENT_LENGTH, Destination, parse_recent
from logcommon.schema.commands import Command, count, push_recent, register
from logcommon.schema.keys import REGISTRY, destination_keys, parse_registered

API, WEB = Destination("api", "info"), Destination("web: 1", "error")
KEYS = destination_keys(API)
TIME = 1795557600.75


def run(redis: FakeRedis, *commands: Command) -> None:
    for command in commands:
        redis.execute_command(*command)  # type: ignore[no-untyped-call]  # fakeredis


def test_counts_add_up() -> None:
    """Counting adds to what was counted before, for each message apart."""
    redis = FakeRedis()
    run(redis, count(b"set", 2, "a"), count(b"set", 3, "a"), count(b"set", 1, "b"))
    assert (redis.zscore("set", "a"), redis.zscore("set", "b")) == (5, 1)


def test_a_message_that_has_no_utf8_can_be_counted() -> None:
    """A lone surrogate is stored as its escape."""
    assert count(b"set", 1, "x\udc80") == (b"ZINCRBY", b"set", 1, b"x\\udc80")


def test_the_newest_entry_is_on_top() -> None:
    """Entries are given oldest first and read newest first, with their times."""
    redis = FakeRedis()
    run(redis, *push_recent(KEYS, [("one", TIME), ("two", TIME + 1)]))
    run(redis, *push_recent(KEYS, [("three", TIME + 2)]))
    stored: Any = redis.lrange(KEYS.recent, 0, -1)
    rows = [parse_recent(text.decode()) for text in stored]
    assert [row.message for row in rows] == ["three", "two", "one"]
    times = [row.time.timestamp() for row in rows if row.time is not None]
    assert times == [int(TIME) + 2, int(TIME) + 1, int(TIME)]


def test_a_recent_log_is_bounded() -> None:
    """The oldest entries go once there are more than it keeps."""
    redis = FakeRedis()
    for number in range(RECENT_LENGTH + 5):
        run(redis, *push_recent(KEYS, [(str(number), TIME)]))
    stored: Any = redis.lrange(KEYS.recent, 0, -1)
    assert len(stored) == RECENT_LENGTH
    assert stored[-1].endswith(b" 5")


def test_a_registered_destination_is_found_again() -> None:
    """Whatever characters its name has; one that is registered twice is there once."""
    redis = FakeRedis()
    run(redis, register([API, WEB]), register([API]))
    members: Any = redis.smembers(REGISTRY)
    assert {parse_registered(member) for member in members} == {API, WEB}
    assert len(members) == 2
