"""Loguru's one logger, and a sink."""

from collections.abc import Iterator

import pytest
from loguru import logger

from logcommon.integrations.loguru import CommonLogSink


@pytest.fixture(autouse=True)
def bare() -> Iterator[None]:
    """Loguru's one logger, without sinks before and after."""
    logger.remove()
    yield
    logger.remove()
    logger.configure(patcher=lambda _record: None, extra={})


@pytest.fixture
def sink(valkey_url: str) -> CommonLogSink:
    """A sink that has been added, and that raises what it raises."""
    sink = CommonLogSink(valkey_url, "shop")
    logger.add(sink, catch=False)
    return sink
