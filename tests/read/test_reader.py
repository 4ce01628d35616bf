"""Reading one destination."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from logcommon import InvalidArgumentError, ServerRefusedError, ServerUnavailableError
from logcommon.model import CommonRow, Destination, RecentRow
from logcommon.read.reader import Reader
from logcommon.settings import Settings
from support.book import log_common as book_log_common
from support.clock import HandClock

API = Destination("api", "info")


def make(client: Redis, clock: HandClock) -> Reader:
    return Reader(client, Settings(clock=clock))


async def fill(client: Redis) -> None:
    await client.zadd("common:api:info", {"a": 3, "b": 5, "c": 1})
    await client.set("common:api:info:start", "2026-05-27T12:00:00")
    await client.zadd("common:api:info:last", {"l": 2})
    await client.set("common:api:info:pstart", "2026-05-27T09:00:00")


@pytest.mark.parametrize("protocol", [2, 3])
async def test_top_is_ordered(valkey_url: str, clock: HandClock, protocol: int) -> None:
    """The most common messages come first, at most as many as asked for, under either protocol."""
    async with Redis.from_url(valkey_url, protocol=protocol) as client:
        await fill(client)
        rows = await make(client, clock).top("api", "info", 2, None)
    assert rows == [CommonRow(5, "b", API), CommonRow(3, "a", API)]


async def test_an_old_set_is_never_called_current(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """After a quiet hour the current hour is empty, though the set still holds the older one."""
    await fill(fake)
    clock.turn(1)
    reader = make(fake, clock)
    assert await reader.top("api", "info", 10, None) == []
    noon = datetime(2026, 5, 27, 12, 30, tzinfo=UTC)
    assert [row.message for row in await reader.top("api", "info", 10, noon)] == ["b", "a", "c"]


async def test_last_is_the_hour_that_pstart_says(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """`:last` is read for its own hour, not for the hour before the current one."""
    await fill(fake)
    reader = make(fake, clock)
    assert await reader.top("api", "info", 10, datetime(2026, 5, 27, 11, tzinfo=UTC)) == []
    nine = await reader.top("api", "info", 10, datetime(2026, 5, 27, 9))  # as UTC
    assert nine == [CommonRow(2, "l", API)]


async def test_hours_are_those_with_counts(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """An hour whose set is missing is not listed; one of the history is."""
    await fill(fake)
    await fake.zadd("common:api:info:2026-05-27T01:00:00", {"h": 1})
    await fake.delete("common:api:info:last")
    hours = await make(fake, clock).hours("api", "info")
    assert [hour.hour for hour in hours] == [12, 1]
    assert await make(fake, clock).hours("nobody", "info") == []


async def test_recent_reads_ours_and_foreign_entries(
    fake: FakeAsyncRedis, clock: HandClock
) -> None:
    """Entries come newest first, and one in another format is not lost."""
    await fake.rpush("recent:api:info", "Wed May 27 12:00:05 2026 m", "no time")
    moment = datetime(2026, 5, 27, 12, 0, 5, tzinfo=UTC)
    reader = make(fake, clock)
    assert await reader.recent("api", "info", 5) == [
        RecentRow(moment, "m", API),
        RecentRow(None, "no time", API),
    ]
    assert await reader.recent("api", "info", 1) == [RecentRow(moment, "m", API)]


async def test_destinations_are_decoded_and_ordered(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """Names are returned as they were logged to."""
    await fake.sadd("logcommon:destinations", "web:info", "a%3Ab:error")
    assert await make(fake, clock).destinations() == [
        Destination("a:b", "error"),
        Destination("web", "info"),
    ]


async def test_what_the_book_wrote_is_read(
    valkey: Redis, valkey_url: str, clock: HandClock
) -> None:
    """Counts of a program that runs the book's functions can be read."""
    from redis import Redis as SyncRedis

    with SyncRedis.from_url(valkey_url) as client:
        for turn in (0, 1, 0):
            clock.turn(turn)
            book_log_common(client, "api", "m", clock=clock)
    reader = make(valkey, clock)
    assert await reader.top("api", "info", 10, None) == [CommonRow(2, "m", API)]
    assert [hour.hour for hour in await reader.hours("api", "info")] == [13, 12]


@pytest.mark.parametrize("n", [0, -1])
async def test_a_count_below_one_is_refused(fake: FakeAsyncRedis, clock: HandClock, n: int) -> None:
    """Asking for no rows is a mistake, and in Redis would mean all of them."""
    with pytest.raises(InvalidArgumentError):
        await make(fake, clock).top("api", "info", n, None)
    with pytest.raises(InvalidArgumentError):
        await make(fake, clock).recent("api", "info", n)


@pytest.mark.parametrize("n", [2.5, "3", None])
async def test_a_count_that_is_no_whole_number_is_refused(
    fake: FakeAsyncRedis, clock: HandClock, n: object
) -> None:
    """A count of the wrong type is an InvalidArgumentError, not a TypeError."""
    with pytest.raises(InvalidArgumentError, match="whole number"):
        await make(fake, clock).top("api", "info", n, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_score_that_is_no_count_is_read(
    valkey_url: str, clock: HandClock, protocol: int
) -> None:
    """An infinite score, which another program has stored, hides no other message."""
    async with Redis.from_url(valkey_url, protocol=protocol) as client:
        await fill(client)
        await client.zadd("common:api:info", {"inf": "inf", "-inf": "-inf", "half": 1.5})
        rows = await make(client, clock).top("api", "info", 10, None)

    assert rows == [
        CommonRow(2**53, "inf", API),
        CommonRow(5, "b", API),
        CommonRow(3, "a", API),
        CommonRow(1, "half", API),
        CommonRow(1, "c", API),
        CommonRow(-(2**53), "-inf", API),
    ]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "0001-01-01T05:00:00"])
async def test_hours_at_the_beginning_of_the_calendar(
    fake: FakeAsyncRedis, clock: HandClock, text: str
) -> None:
    """The first hour of the calendar can be read, though none is before it."""
    await fill(fake)
    for key in ("start", "pstart"):
        await fake.set(f"common:api:info:{key}", text)
    reader = make(fake, clock)
    assert {hour.isoformat() for hour in await reader.hours("api", "info")} == {f"{text}+00:00"}
    assert await reader.top("api", "info", 10, None) == []


@pytest.mark.parametrize(
    "hour",
    [
        datetime.max,
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=9))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=9))),
        "2026-05-27T12",
        494_412,
    ],
)
async def test_an_hour_that_cannot_be_used(
    fake: FakeAsyncRedis, clock: HandClock, hour: datetime
) -> None:
    """An hour beyond the calendar and a value of another type are an InvalidArgumentError."""
    for name in ("api", None):
        with pytest.raises(InvalidArgumentError, match="hour"):
            await make(fake, clock).top(name, "info", 10, hour)


async def test_foreign_members_of_the_registry(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """Members that name no destination are left out."""
    await fake.sadd("logcommon:destinations", "web:info", "stray", ":error", "a:b:c")
    assert await make(fake, clock).destinations() == [Destination("web", "info")]


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("common:api:info", "common:api:info:"),
        ("common:api:info:last", "common:api:info:last:"),
        ("common:api:info:start", "common:api:info:start or"),
        ("common:api:info:pstart", "common:api:info:pstart "),
        ("recent:api:info", "recent:api:info:"),
        ("logcommon:destinations", "logcommon:destinations:"),
    ],
)
async def test_a_key_of_the_wrong_type_is_named(
    valkey: Redis, clock: HandClock, key: str, named: str
) -> None:
    """The error names the key that has to be deleted."""
    await valkey.hset(key, "foreign", "1")
    with pytest.raises(ServerRefusedError) as caught:
        await _read_all(make(valkey, clock))
    assert named in str(caught.value)


async def _read_all(reader: Reader) -> None:
    await reader.top("api", "info", 1, None)
    await reader.recent("api", "info", 1)
    await reader.destinations()


async def test_a_server_that_is_not_redis(clock: HandClock) -> None:
    """If another program answers, Redis can't be reached."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with Redis(port=port, retry=Retry(NoBackoff(), 0)) as other:
            with pytest.raises(ServerUnavailableError):
                await make(other, clock).destinations()


async def test_faults_are_ours(valkey: Redis, clock: HandClock, unused_tcp_port: int) -> None:
    """An unreachable server and a key of the wrong type raise errors of ours."""
    await valkey.set("recent:api:info", "not a list")
    with pytest.raises(ServerRefusedError):
        await make(valkey, clock).recent("api", "info", 1)
    async with Redis(port=unused_tcp_port, retry=Retry(NoBackoff(), 0)) as away:
        with pytest.raises(ServerUnavailableError):
            await make(away, clock).destinations()
