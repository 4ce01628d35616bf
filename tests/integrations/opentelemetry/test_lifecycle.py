"""Hooks, other exporters, threads, forks, and the end of an exporter."""

import asyncio
import threading
from collections import Counter

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    InMemoryLogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.opentelemetry import CommonLogExporter
from support.fork import forking, in_child
from support.programs import run
from support.recorders import NOWHERE, Unprintable, counted, stats_of
from support.telemetry import PROCESSORS, MakeProcessor, emit, provider_of


async def test_a_hook_that_logs(valkey_url: str, valkey: Redis) -> None:
    """What a hook logs to the exporter that called it is ignored."""

    def message(record: ReadableLogRecord) -> str:
        emit(logger, "in the hook")
        return str(record.log_record.body)

    exporter = CommonLogExporter(valkey_url, "shop", message)
    logger = provider_of(exporter).get_logger("orders")
    emit(logger, "m")
    emit(logger, "m")
    assert stats_of(exporter) == (2, 2, 2)
    assert await counted(valkey, "shop") == {"m": 2}


async def test_it_never_raises(exporter: CommonLogExporter, valkey: Redis) -> None:
    """Something else than a record is ignored, a marker counted for one without text."""
    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    logger = provider_of(kept).get_logger("orders")  # type: ignore[arg-type]
    emit(logger, "m")
    emit(logger, Unprintable())  # type: ignore[arg-type]
    emit(logger, "m")
    batch = kept.get_finished_logs()

    assert exporter.export([*batch, None]) is LogRecordExportResult.SUCCESS  # type: ignore[list-item]
    assert stats_of(exporter) == (3, 3, 1)
    assert await counted(valkey, "shop") == {
        "m": 2,
        "<not logged: its message raised RuntimeError>": 1,
    }


@pytest.mark.parametrize("url", [None, NOWHERE])
def test_other_exporters_are_left_alone(valkey_url: str, url: str | None) -> None:
    """Another exporter gets the same with this one as without it."""
    results = []
    for added in (False, True):
        exporter = CommonLogExporter(url or valkey_url, drain_timeout=0)
        before = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        after = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        provider = LoggerProvider(shutdown_on_exit=False)
        for each in (before, exporter, after):
            if added or each is not exporter:
                provider.add_log_record_processor(SimpleLogRecordProcessor(each))
        record = LogRecord(
            timestamp=1, observed_timestamp=2, body={"a": [1]}, attributes={"b": 2}, event_name="e"
        )
        provider.get_logger("orders").emit(record)
        provider.shutdown()
        logs = [*before.get_finished_logs(), *after.get_finished_logs()]
        results.append([log.to_json() for log in logs])

    assert results[0] == results[1]
    assert len(results[0]) == 2


@pytest.mark.parametrize("make", PROCESSORS)
async def test_many_threads(
    exporter: CommonLogExporter, valkey: Redis, make: MakeProcessor
) -> None:
    """Threads that log at once lose nothing and count nothing twice."""
    keep_all = {} if make is SimpleLogRecordProcessor else {"max_queue_size": 10_000}
    provider = provider_of(exporter, lambda exporter: make(exporter, **keep_all))
    logger = provider.get_logger("orders")
    messages = [f"message {number % 7}" for number in range(500)]

    def work() -> None:
        for message in messages:
            emit(logger, message)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider.shutdown()
    assert stats_of(exporter) == (4000, 4000, 0)
    assert await counted(valkey, "shop") == Counter(8 * messages)


def test_force_flush_takes_milliseconds() -> None:
    """It gives up when its time is over, and shutting down closes the exporter."""
    exporter = CommonLogExporter(NOWHERE, "shop", drain_timeout=0)
    emit(provider_of(exporter).get_logger("orders"), "m")
    assert not exporter.force_flush(10)
    exporter.shutdown()
    assert exporter.stats.dropped_unwritten == 1


async def test_shutdown_leaves_a_client_open(valkey_url: str, valkey: Redis) -> None:
    """A client of the application outlives the provider."""
    async with logcommon.connect(valkey_url) as log:
        exporter = CommonLogExporter(log, "shop")
        provider = provider_of(exporter)
        emit(provider.get_logger("orders"), "m")
        provider.shutdown()
        log.log_common_nowait("shop", "m")
        await log.flush()
        assert await counted(valkey, "shop") == {"m": 2}
        assert exporter.stats.counted == log.stats.counted == 2


@pytest.mark.parametrize("make", PROCESSORS)
def test_redis_is_down(make: MakeProcessor) -> None:
    """Records are accepted, and dropped when the provider is shut down."""
    exporter = CommonLogExporter(NOWHERE, "shop", drain_timeout=0)
    provider = provider_of(exporter, make)
    for _ in range(100):
        emit(provider.get_logger("orders"), "m")
    provider.shutdown()
    assert (exporter.stats.calls, exporter.stats.dropped_unwritten) == (100, 100)


@forking
@pytest.mark.parametrize("make", PROCESSORS)
async def test_a_fork(exporter: CommonLogExporter, valkey: Redis, make: MakeProcessor) -> None:
    """A child counts its own records, and leaves its parent's to the parent."""
    provider = provider_of(exporter, make)
    logger = provider.get_logger("orders")
    for _ in range(10):
        emit(logger, "parent")

    def work() -> None:
        for _ in range(5):
            emit(logger, "child")
        provider.shutdown()
        assert stats_of(exporter) == (5, 5, 0)

    assert [in_child(work), in_child(work)] == [0, 0]
    emit(logger, "parent")
    provider.shutdown()
    assert stats_of(exporter) == (11, 11, 0)
    assert await counted(valkey, "shop") == {"parent": 11, "child": 10}


PROGRAM = """
import atexit, sys
from opentelemetry.sdk._logs import LoggerProvider, export
from logcommon.integrations.opentelemetry import CommonLogExporter

provider = LoggerProvider()
exporter = CommonLogExporter(sys.argv[1], service="shop")
provider.add_log_record_processor(getattr(export, sys.argv[2])(exporter))
logger = provider.get_logger("orders")
atexit.register(lambda: logger.emit(body="at the exit"))
for number in range(2000):
    logger.emit(body="over the limit", attributes={"user": number})
"""


@pytest.mark.parametrize("make", PROCESSORS)
async def test_a_program_that_just_ends(
    valkey_url: str, valkey: Redis, make: MakeProcessor
) -> None:
    """A program without an event loop that shuts nothing down counts all before it ends."""
    done = await asyncio.to_thread(run, PROGRAM, valkey_url, make.__name__)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert await counted(valkey, "shop") == {"over the limit": 2000, "at the exit": 1}
