"""logcommon's own warnings: few, and never an error."""

import asyncio
import logging
import sys
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.runtime.warnings import RateLimitedWarnings
from support.clock import HandClock
from support.layout import total
from support.proxy import Proxy


def test_warnings_are_few(caplog: pytest.LogCaptureFixture, clock: HandClock) -> None:
    """Of each kind, one warning is logged per interval, however often something goes wrong."""
    warnings = RateLimitedWarnings(interval=60, monotonic=clock)
    with caplog.at_level(logging.WARNING, logger="logcommon"):
        for _ in range(5):
            warnings.warn("fault", "first")
        warnings.warn("closed", "of another kind")
        clock.now += 60
        warnings.warn("fault", "second")
    assert caplog.messages == ["first", "of another kind", "second"]


class _Broken(logging.Handler):
    """Raises in `emit`, as an application's handler may."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("the handler is broken")


@pytest.fixture
def broken_handler() -> Iterator[None]:
    """Make everything that is logged to the logger `logcommon` raise."""
    logger, handler = logging.getLogger("logcommon"), _Broken()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("broken_handler")
def test_a_warning_never_raises(capsys: pytest.CaptureFixture[str]) -> None:
    """If a logging handler raises, the warning goes to stderr instead."""
    RateLimitedWarnings().warn("fault", "Redis is away")
    assert "Redis is away" in capsys.readouterr().err


@pytest.mark.usefixtures("broken_handler")
def test_a_warning_is_silent_without_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pythonw there is no stderr either; the warning is dropped without an error."""
    monkeypatch.setattr(sys, "stderr", None)
    RateLimitedWarnings().warn("fault", "Redis is away")


@pytest.mark.usefixtures("broken_handler")
async def test_a_broken_handler_does_not_end_the_writer(proxy: Proxy, valkey: Redis) -> None:
    """If a logging handler raises for our warning of a fault, writing goes on."""
    proxy.faults.extend(["cut before"])
    async with logcommon.connect(proxy.url) as log:
        for _ in range(2):
            async with asyncio.timeout(20):
                await log.log_common("api", "m")
        assert (log.stats.failures, log.stats.counted) == (1, 2)
    assert await total(valkey) == 2
