"""Records that the handler, its hooks or writing to Redis cause."""

import logging
import signal
import threading
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.logging import CommonLogHandler
from support.api_logger import LOGGER, account, attached
from support.fork import forking, in_child
from support.recorders import NOWHERE, counted
from support.until import until


async def test_a_root_handler_does_not_count_its_own_warnings() -> None:
    """A warning that Redis can't be reached is ignored by the handler that can't reach it."""
    handler = CommonLogHandler(NOWHERE, drain_timeout=0)
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG)
    logging.warning("m")  # noqa: LOG015  # the root logger is the point
    await until(lambda: handler.stats.failures > 0)
    handler.close()
    assert handler.stats.calls == 1
    assert handler.ignored >= 2


class Chatty:
    """Logs when it is made a text."""

    def __str__(self) -> str:
        LOGGER.info("caused")
        return "chatty"


def chatter(text: object) -> str:
    """Log when asked for a message, or to redact one."""
    LOGGER.info("caused %s", text)
    return "m"


@pytest.mark.parametrize(
    ("settings", "message", "expected"),
    [
        ({}, Chatty(), "chatty"),
        ({"message": chatter}, "text", "m"),
        ({"redact": chatter}, "text", "m"),
        ({"message": lambda record: Chatty()}, "text", "chatty"),
        ({"message": lambda record: record.msg, "redact": chatter}, "text", "m"),
    ],
)
async def test_what_a_hook_logs_is_ignored(
    valkey_url: str, valkey: Redis, settings: dict[str, Any], message: object, expected: str
) -> None:
    """What a hook logs is ignored, and records after it are counted as before."""
    handler = attached(CommonLogHandler(valkey_url, **settings))
    for _ in range(2):
        LOGGER.info(message)
    assert account(handler) == (2, 2)
    assert await counted(valkey, "api") == Counter({expected: 2})


async def test_what_a_clients_redact_logs_is_ignored(valkey_url: str, valkey: Redis) -> None:
    """So is what the `redact` of a client that was passed in logs."""
    async with logcommon.connect(valkey_url, redact=chatter) as log:
        handler = attached(CommonLogHandler(log))
        LOGGER.info("text")
    assert account(handler) == (1, 1)
    assert await counted(valkey, "api") == Counter(m=1)


def test_another_thread_is_not_ignored(valkey_url: str) -> None:
    """While one thread is in a hook, records of other threads are counted."""
    other = threading.Thread(target=lambda: LOGGER.info("other"))

    def wait_for_other(record: logging.LogRecord) -> str:
        if record.msg != "other":
            other.start()
            other.join()
        return "m"

    handler = attached(CommonLogHandler(valkey_url, message=wait_for_other))
    LOGGER.info("m")
    assert account(handler) == (2, 0)


@forking
def test_a_fork_within_a_hook(valkey_url: str) -> None:
    """A child forked while another thread is in a hook has all its records counted."""
    inside, done = threading.Event(), threading.Event()

    def wait(record: logging.LogRecord) -> str:
        if record.msg == "wait":
            inside.set()
            done.wait()
        return "m"

    handler = attached(CommonLogHandler(valkey_url, message=wait))
    thread = threading.Thread(target=LOGGER.info, args=("wait",))
    thread.start()
    inside.wait()

    def work() -> None:
        another = threading.Thread(target=LOGGER.info, args=("child",))
        another.start()
        another.join()
        LOGGER.info("child")
        assert account(handler) == (2, 0)

    assert in_child(work) == 0
    done.set()
    thread.join()
    assert account(handler) == (1, 0)


async def test_an_exception_of_a_signal_handler_in_a_hook(valkey_url: str) -> None:
    """After a signal handler raised in a hook, the thread's records are still counted."""

    def interrupt(record: logging.LogRecord) -> str:
        if record.msg == "interrupted":
            raise KeyboardInterrupt
        return "m"

    handler = attached(CommonLogHandler(valkey_url, message=interrupt))
    with pytest.raises(KeyboardInterrupt):
        LOGGER.info("interrupted")
    LOGGER.info("m")
    assert account(handler) == (1, 0)


async def test_a_signal_handler_that_logs(valkey_url: str, valkey: Redis) -> None:
    """A record of a signal handler counts, and so does the call that it interrupted."""
    calls = []

    def interrupted() -> float:
        calls.append(1)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGUSR1)
        return 5.0

    handler = attached(CommonLogHandler(valkey_url, clock=interrupted))
    before = signal.signal(signal.SIGUSR1, lambda *_: LOGGER.info("signal"))
    try:
        LOGGER.info("m")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert account(handler) == (2, 0)
    assert await counted(valkey, "api") == Counter(m=1, signal=1)


def test_no_lock_is_held_while_logging(handler: CommonLogHandler) -> None:
    """A call never waits for another thread: the handler has no lock."""
    assert handler.lock is None
    handler.acquire()
    LOGGER.info("m")
    handler.release()
    assert account(handler) == (1, 0)
