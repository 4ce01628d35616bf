"""The parts between the buffer and Redis, made for a test of one of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from logcommon.model import Destination, Group
from logcommon.settings import Settings
from logcommon.stats import Ledger
from logcommon.write.batch import Batch
from logcommon.write.reporter import Reporter
from support.clock import NOON
from support.network import UnhurriedLoop

API, WEB = Destination("api", "info"), Destination("web", "info")
API_NOON: Group = (API, NOON)

_Result = TypeVar("_Result")


def reporter_of(**settings: Any) -> Reporter:  # those of a client
    """Return a reporter with a ledger of its own."""
    return Reporter(Ledger(), Settings(**settings))


def batch_of(number: int, messages: str = "m", **fields: Any) -> Batch:  # a batch's
    """Return a batch of one call for each letter."""
    return Batch({API_NOON: dict.fromkeys(messages, 1)}, number=number, producer="p", **fields)


def run(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in an event loop in which pauses take no time."""
    with asyncio.Runner(loop_factory=UnhurriedLoop) as runner:
        return runner.run(coroutine)
