"""A client and a clock for the tests of web middleware."""

from collections.abc import AsyncIterator, Iterator

import pytest

import logcommon
from logcommon.integrations import _middleware
from logcommon.runtime import ending
from support.clock import HandClock


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    """Close the clients that middleware has opened for URLs, as at the end of a process."""
    yield
    ending.close_all()


@pytest.fixture
async def log(valkey_url: str) -> AsyncIterator[logcommon.CommonLog]:
    """An open client."""
    async with logcommon.connect(valkey_url) as log:
        yield log


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch, clock: HandClock) -> HandClock:
    """The clock of the middleware, turned by hand."""
    monkeypatch.setattr(_middleware, "monotonic", clock)
    return clock
