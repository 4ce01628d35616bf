"""What every adapter for a logger does alike."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from loguru import logger as loguru_logger
from redis.asyncio import Redis

import logcommon
from support.fork import forking, in_child
from support.recorders import ADAPTERS, NOWHERE, Adapter, counted, stats_of


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    """Each adapter, and loguru's one logger without sinks afterwards."""
    yield ADAPTERS[request.param]
    loguru_logger.remove()


async def test_what_writing_causes_is_ignored(
    adapter: Adapter, valkey_url: str, valkey: Redis
) -> None:
    """Records of redis-py, asyncio and this package are ignored, not those with similar names."""
    recorder = adapter.make(valkey_url)
    log = adapter.attach(recorder)
    for name in ("redis", "redis.asyncio.connection", "asyncio", "logcommon", "logcommon.write"):
        log(name, "m")
    others = ("redistribution", "redis_of_mine", "asyncio_shop", "shop.redis", "my.redis")
    for name in others:
        log(name, "m")

    assert stats_of(recorder) == (5, 5, 5)
    for name in others:
        assert await counted(valkey, name) == {"m": 1}


async def test_many_threads(adapter: Adapter, valkey_url: str, valkey: Redis) -> None:
    """Threads that log at once lose nothing and count nothing twice."""
    recorder = adapter.make(valkey_url, "shop", drain_timeout=60)
    log = adapter.attach(recorder)
    messages = [f"message {number % 7}" for number in range(2000)]

    def work() -> None:
        for message in messages:
            log("orders", message)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats_of(recorder) == (16_000, 16_000, 0)
    assert await counted(valkey, "shop") == Counter(8 * messages)


async def test_a_client_of_the_application(
    adapter: Adapter, valkey_url: str, valkey: Redis
) -> None:
    """It counts what is logged before it is open, and the application alone closes it."""
    client = logcommon.connect(valkey_url)
    recorder = adapter.make(client)
    log = adapter.attach(recorder)
    log("api", "before")
    assert not adapter.flush(recorder, 30)
    async with client:
        log("api", "open")
        recorder.close()
        await client.log_common("api", "still open")
    log("api", "late")

    assert recorder.stats.counted == client.stats.counted == 3
    assert recorder.stats.dropped_closed == 1
    assert await counted(valkey, "api") == {"before": 1, "open": 1, "still open": 1}


async def test_a_client_of_the_application_is_not_waited_for(
    adapter: Adapter, valkey_url: str
) -> None:
    """A flush only tells whether anything is pending: the event loop must not be blocked."""
    async with logcommon.connect(valkey_url) as client:
        recorder = adapter.make(client, "shop")
        assert adapter.flush(recorder, 30)
        adapter.attach(recorder)("orders", "m")
        assert not adapter.flush(recorder, 30)
        await client.flush()
        assert adapter.flush(recorder, 30)


def test_a_client_has_its_settings_already(adapter: Adapter, valkey_url: str) -> None:
    """Settings beside a client are an error that says where to give them."""
    with pytest.raises(logcommon.InvalidArgumentError, match="pass linger"):
        adapter.make(logcommon.connect(valkey_url), linger=1)


@pytest.mark.parametrize("service", ["", "x" * 257, 7])
def test_a_service_that_can_not_be_used(adapter: Adapter, service: object) -> None:
    """A mistake shows when the adapter is made, and not with each record."""
    with pytest.raises(logcommon.InvalidArgumentError, match="name must"):
        adapter.make(NOWHERE, service)


async def test_a_flush_waits_for_redis(adapter: Adapter, valkey_url: str, valkey: Redis) -> None:
    """It returns when Redis has everything, whatever `linger` is."""
    recorder = adapter.make(valkey_url, "shop", linger=3600)
    log = adapter.attach(recorder)
    for number in (1, 2):
        log("orders", "m")
        assert adapter.flush(recorder, 30)
        assert recorder.stats.counted == number
        assert await counted(valkey, "shop") == {"m": number}
    assert adapter.flush(recorder, 30)
    recorder.close()


def test_a_flush_gives_up(adapter: Adapter) -> None:
    """If Redis is away, it returns False, and the close drops what is pending."""
    recorder = adapter.make(NOWHERE, "shop", drain_timeout=0.2)
    adapter.attach(recorder)("orders", "m")
    assert not adapter.flush(recorder, 0.01)
    recorder.close()
    assert recorder.stats.dropped_unwritten == 1


def test_redis_is_down(adapter: Adapter) -> None:
    """Records are accepted, and dropped when the adapter is closed; it opens again after that."""
    recorder = adapter.make(NOWHERE, "shop", drain_timeout=0)
    log = adapter.attach(recorder)
    for _ in range(100):
        log("orders", "m")
    recorder.close()
    assert (recorder.stats.calls, recorder.stats.dropped_unwritten) == (100, 100)
    log("orders", "m")
    recorder.close()
    assert (recorder.stats.calls, recorder.stats.dropped_unwritten) == (101, 101)


@forking
async def test_a_fork(adapter: Adapter, valkey_url: str, valkey: Redis) -> None:
    """A child counts its own records, and leaves its parent's to the parent."""
    recorder = adapter.make(valkey_url, "shop")
    log = adapter.attach(recorder)
    for _ in range(10):
        log("orders", "parent")

    def work() -> None:
        for _ in range(5):
            log("orders", "child")
        assert stats_of(recorder) == (5, 5, 0)

    assert [in_child(work), in_child(work)] == [0, 0]
    log("orders", "parent")
    assert stats_of(recorder) == (11, 11, 0)
    assert await counted(valkey, "shop") == {"parent": 11, "child": 10}


# structlog has no `message`: an event is its own message.


@pytest.mark.parametrize("adapter", ["logging", "loguru", "opentelemetry"], indirect=True)
async def test_a_message_of_ones_own(adapter: Adapter, valkey_url: str, valkey: Redis) -> None:
    """`message` chooses the message of each record; None ignores it, and an error is marked."""
    answers = iter(["chosen", 7, None, ZeroDivisionError("secret")])

    def message(_record: object) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    recorder = adapter.make(valkey_url, "shop", message)
    log = adapter.attach(recorder)
    for _ in range(4):
        log("orders", "m")
    assert stats_of(recorder) == (3, 3, 1)
    assert await counted(valkey, "shop") == {
        "chosen": 1,
        "7": 1,
        "<not logged: its message raised ZeroDivisionError>": 1,
    }


# loguru raises in a hook that logs, before it calls the sink.


@pytest.mark.parametrize("adapter", ["logging", "structlog", "opentelemetry"], indirect=True)
async def test_what_redact_logs_is_ignored(
    adapter: Adapter, valkey_url: str, valkey: Redis
) -> None:
    """A hook that logs to the adapter that called it causes no further records."""

    def redact(_message: str) -> str:
        log("orders", "caused")
        return "redacted"

    recorder = adapter.make(valkey_url, "shop", redact=redact)
    log = adapter.attach(recorder)
    for _ in range(2):
        log("orders", "m")
    assert stats_of(recorder) == (2, 2, 2)
    assert await counted(valkey, "shop") == {"redacted": 2}


def test_repr(adapter: Adapter) -> None:
    """It shows the class, the service and the client, without the credentials in its URL."""
    url = "redis://user:secret@localhost:6379/0"
    recorder = adapter.make(url, "shop")
    assert type(recorder).__name__ in repr(recorder)
    assert "service='shop'" in repr(recorder)
    assert "redis://localhost:6379/0" in repr(recorder)
    for shown in (repr(recorder), repr(adapter.make(logcommon.connect(url)))):
        assert "secret" not in shown
