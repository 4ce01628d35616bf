"""The processor in its chain, which it never disturbs."""

import asyncio
import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis
from structlog.stdlib import PositionalArgumentsFormatter
from structlog.typing import EventDict

from logcommon.integrations.structlog import CommonLogProcessor
from support.programs import run
from support.recorders import NOWHERE, Unprintable, counted, failed, stats_of
from support.structlog_chain import logger_of, stdlib_logger_of

ERROR = failed()


CHAINS: dict[str, Callable[..., Any]] = {
    "native": lambda *chain: logger_of(structlog.contextvars.merge_contextvars, *chain),
    "rendered after": lambda *chain: logger_of(
        structlog.processors.add_log_level, *chain, structlog.processors.JSONRenderer()
    ),
    "rendered before": lambda *chain: logger_of(structlog.processors.JSONRenderer(), *chain),
    "renamed before": lambda *chain: logger_of(structlog.processors.EventRenamer("msg"), *chain),
    "exception formatted before": lambda *chain: logger_of(
        structlog.processors.format_exc_info, *chain
    ),
    "positional": lambda *chain: stdlib_logger_of(
        "shop", *chain, PositionalArgumentsFormatter(remove_positional_args=False)
    ),
}


@pytest.mark.parametrize("url", [None, NOWHERE])
@pytest.mark.parametrize("chain", CHAINS)
def test_the_result_is_the_same(valkey_url: str, chain: str, url: str | None) -> None:
    """Wherever the processor stands in the chain, the logger gets the same as without it."""
    processor = CommonLogProcessor(url or valkey_url, drain_timeout=0)
    outputs = []
    for processors in ((), (processor,)):
        output = io.StringIO()
        log = CHAINS[chain](*processors)
        if chain == "positional":
            handler = logging.StreamHandler(output)
            logging.getLogger("shop").addHandler(handler)
            log.warning("a %s", "b", c="d")
            logging.getLogger("shop").removeHandler(handler)
        else:
            log = structlog.wrap_logger(
                structlog.PrintLogger(output),
                processors=log._processors,
                wrapper_class=log._wrapper_class,
            )
            log.bind(x=1).info("an event", y={"z": 2})
            log.error(b"bytes")
            log.error("failed", exc_info=ERROR)
        outputs.append(output.getvalue())
    processor.close()

    assert outputs[0] == outputs[1] != ""


async def test_events_that_are_dropped(processor: CommonLogProcessor, valkey: Redis) -> None:
    """An event dropped before the processor is not counted; one dropped after it stays dropped."""

    def drop(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
        raise structlog.DropEvent

    output = io.StringIO()
    for chain in ((drop, processor), (processor, drop)):
        logger_of(*chain, logger=structlog.PrintLogger(output)).info("m")
    assert output.getvalue() == ""
    assert stats_of(processor) == (1, 1, 0)
    assert await counted(valkey, "structlog") == {"m": 1}


@pytest.mark.parametrize(
    "event",
    [
        {"event": Unprintable()},
        {},
        {"event": None},
        "rendered",
        None,
    ],
    ids=["unprintable", "empty", "none", "text", "no event"],
)
def test_it_never_raises(processor: CommonLogProcessor, event: EventDict) -> None:
    """An event that can't be counted is passed on unchanged, and ignored."""
    assert processor(None, "info", event) is event
    assert stats_of(processor) == (0, 0, 1)


PROGRAM = """
import atexit, sys, structlog
from logcommon.integrations.structlog import CommonLogProcessor

atexit.register(lambda: structlog.get_logger().info("the very last"))
processor = CommonLogProcessor(sys.argv[1], service="shop")
structlog.configure(processors=[processor, structlog.processors.KeyValueRenderer()])
atexit.register(lambda: structlog.get_logger().info("at the exit"))
for number in range(3000):
    structlog.get_logger().info("over the limit", user=number)
"""


async def test_a_program_that_just_ends(valkey_url: str, valkey: Redis) -> None:
    """A program without an event loop that closes nothing counts everything before it ends."""
    done = await asyncio.to_thread(run, PROGRAM, valkey_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 3002
    assert await counted(valkey, "shop") == {
        "over the limit": 3000,
        "at the exit": 1,
        "the very last": 1,
    }
