"""Hooks that log, other sinks, queues, forks, and the end of a sink."""

import asyncio
import inspect
import io
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from loguru import logger
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.loguru import CommonLogSink
from support.fork import forking, in_child
from support.programs import run
from support.recorders import NOWHERE, counted, fail, stats_of_removed

if TYPE_CHECKING:
    from loguru import Record


@pytest.mark.parametrize("catch", [True, False])
async def test_a_hook_that_logs(
    valkey_url: str, valkey: Redis, capsys: pytest.CaptureFixture[str], catch: bool
) -> None:
    """A hook that logs to the sink that called it neither deadlocks nor raises."""

    def message(record: "Record") -> str:
        logger.info("in the hook")
        return str(record["message"])

    sink = CommonLogSink(valkey_url, "shop", message)
    logger.add(sink, catch=catch)
    logger.info("m")
    assert stats_of_removed(sink) == (1, 1, 0)
    mark = "<not logged: its message raised RuntimeError>"
    assert await counted(valkey, "shop") == {"m" if catch else mark: 1}
    assert ("deadlock avoided" in capsys.readouterr().err) == catch


def test_it_never_raises(sink: CommonLogSink) -> None:
    """Something that is not a record of loguru is ignored."""
    sink.write("text")  # type: ignore[arg-type]
    assert stats_of_removed(sink) == (0, 0, 1)


@pytest.mark.parametrize("url", [None, NOWHERE])
def test_other_sinks_are_left_alone(valkey_url: str, url: str | None) -> None:
    """Another sink gets the same with this one as without it."""
    outputs = []
    for added in (False, True):
        output = io.StringIO()
        first = logger.add(output, format="{level} {message} {extra} {name}", diagnose=False)
        if added:
            logger.add(CommonLogSink(url or valkey_url, drain_timeout=0), catch=False)
        last = logger.add(output, format="{message}", serialize=False, diagnose=False)
        for number in range(3):
            logger.bind(a=1).info("user {} {user}", number, user="u")
            logger.opt(colors=True).info("<red>{}</red>", number)
        with logger.catch():
            fail()
        logger.remove(first)
        logger.remove(last)
        logger.remove()
        outputs.append(output.getvalue())

    assert outputs[0] == outputs[1]
    assert outputs[0].count("user 1 u") == 2


class Intercept(logging.Handler):
    """Passes records of the standard library to loguru, as in loguru's documentation."""

    def emit(self, record: logging.LogRecord) -> None:
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(
            record.levelname, record.getMessage()
        )


async def test_intercepted_records_of_writing_are_ignored(valkey_url: str, valkey: Redis) -> None:
    """Intercepted records of redis-py, asyncio and this package are ignored."""
    sink = CommonLogSink(valkey_url)
    logger.add(sink, catch=False)
    root, intercept = logging.getLogger(), Intercept()
    root.addHandler(intercept)
    for name in ("redis.asyncio.connection", "logcommon.write", "asyncio", "redis_of_mine"):
        program = f"import logging; logging.getLogger({name!r}).warning('m')"
        exec(program, {"__name__": name})  # noqa: S102
    root.removeHandler(intercept)

    assert stats_of_removed(sink) == (1, 1, 3)
    assert await counted(valkey, "redis_of_mine", "warning") == {"m": 1}


async def test_arguments_in_many_threads(sink: CommonLogSink, valkey: Redis) -> None:
    """Each of many threads finds its own call on the stack."""
    messages = [f"message {number % 7} {{}}" for number in range(500)]

    def work() -> None:
        for message in messages:
            logger.info(message, threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats_of_removed(sink) == (4000, 4000, 0)
    assert await counted(valkey, "shop") == Counter(8 * messages)


async def test_a_sink_that_is_removed(valkey_url: str, valkey: Redis) -> None:
    """The application's client stays open, and writes in its own time."""
    async with logcommon.connect(valkey_url) as log:
        sink = CommonLogSink(log, "shop")
        number = logger.add(sink, catch=False)
        logger.info("m")
        logger.remove(number)
        log.log_common_nowait("shop", "m")
        await log.flush()
        assert await counted(valkey, "shop") == {"m": 2}
        assert sink.stats.counted == log.stats.counted == 2


def test_a_sink_that_is_removed_while_redis_is_down() -> None:
    """Its records are dropped and counted as such; it can be added again."""
    sink = CommonLogSink(NOWHERE, "shop", drain_timeout=0)
    logger.add(sink, catch=False)
    for number in range(100):
        logger.info("m {}", number)
    logger.remove()
    assert (sink.stats.calls, sink.stats.dropped_unwritten) == (100, 100)

    logger.add(sink, catch=False)
    logger.info("m")
    logger.remove()
    assert sink.stats.dropped_unwritten == 101


@forking
async def test_a_queue_across_a_fork(valkey_url: str, valkey: Redis) -> None:
    """With `enqueue=True` the parent counts what its children log."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False, enqueue=True)
    assert in_child(lambda: logger.info("child {}", 1)) == 0
    assert stats_of_removed(sink) == (1, 1, 0)
    assert await counted(valkey, "shop") == {"child 1": 1}


PROGRAM = """
import atexit, sys
from loguru import logger
from logcommon.integrations.loguru import CommonLogSink

logger.remove()
logger.add(CommonLogSink(sys.argv[1], service="shop"), catch=False)
atexit.register(lambda: logger.info("at the exit"))
for number in range(3000):
    logger.info("user {} is over the limit", number)
"""


async def test_a_program_that_just_ends(valkey_url: str, valkey: Redis) -> None:
    """A program without an event loop that removes nothing counts everything before it ends."""
    done = await asyncio.to_thread(run, PROGRAM, valkey_url)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert await counted(valkey, "shop") == {"user {} is over the limit": 3000, "at the exit": 1}


async def test_wait_and_complete(valkey_url: str, valkey: Redis) -> None:
    """Both wait until Redis has everything; a record alone does not wait."""
    sink = CommonLogSink(valkey_url, "shop", linger=3600)
    assert not hasattr(sink, "flush")  # loguru would call it after every record
    logger.add(sink, catch=False)
    logger.info("m")
    assert sink.wait()
    logger.info("m")
    await logger.complete()
    assert sink.stats.counted == 2
    assert await counted(valkey, "shop") == {"m": 2}

    logger.remove()
    passed = CommonLogSink(logcommon.connect(valkey_url), "shop")
    assert passed.wait()
    await passed.complete()
