"""`log_common_nowait` is an ordinary method of both clients."""

import inspect
import logging
from typing import ClassVar
from unittest import mock

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import BackgroundLog, CommonLog
from logcommon.integrations.logging import CommonLogHandler
from logcommon.model import Severity
from logcommon.settings import Settings
from support.layout import total
from support.until import until

KINDS = [CommonLog, BackgroundLog]


def make(kind: type[CommonLog | BackgroundLog], url: str) -> CommonLog | BackgroundLog:
    return BackgroundLog(url, {}) if kind is BackgroundLog else logcommon.connect(url)


async def opened(kind: type[CommonLog | BackgroundLog], url: str) -> CommonLog | BackgroundLog:
    """Return a client that has written a message, so that all it does at first is done."""
    log = make(kind, url)
    if isinstance(log, CommonLog):
        return await log.__aenter__()
    log.log_common_nowait("api", "first")
    assert log.flush()
    return log


async def close(log: CommonLog | BackgroundLog) -> None:
    if isinstance(log, CommonLog):
        await log.__aexit__(None, None, None)
    else:
        log.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_it_can_be_patched_on_the_class(
    kind: type[CommonLog | BackgroundLog], valkey_url: str
) -> None:
    """A mock on the class takes the calls, also those of a client that is open already."""
    log = await opened(kind, valkey_url)
    before = log.stats.calls
    with mock.patch.object(kind, "log_common_nowait", autospec=True) as patched:
        log.log_common_nowait("api", "m")
    await close(log)
    patched.assert_called_once_with(log, "api", "m")
    assert log.stats.calls == before


@pytest.mark.parametrize("kind", KINDS)
async def test_it_holds_to_its_signature(
    kind: type[CommonLog | BackgroundLog], valkey_url: str
) -> None:
    """It returns None, and `help` shows the same for a client as for its class."""
    log = await opened(kind, valkey_url)
    method = log.log_common_nowait
    assert vars(log).keys().isdisjoint(vars(kind))
    assert inspect.getdoc(method) == inspect.getdoc(kind.log_common_nowait)
    assert list(inspect.signature(method).parameters) == ["name", "message", "severity"]
    assert inspect.signature(method).return_annotation is None
    assert method("api", "m") is None
    await close(log)


class _Loud:
    """Notes what is logged, and logs it in capitals."""

    heard: ClassVar[list[str]] = []

    def log_common_nowait(self, name: str, message: str, severity: Severity = logging.INFO) -> None:
        self.heard.append(message)
        super().log_common_nowait(name, message.upper(), severity)  # type: ignore[misc]


class _LoudLog(_Loud, CommonLog):
    pass


class _LoudBackgroundLog(_Loud, BackgroundLog):
    pass


@pytest.mark.parametrize("background", [False, True])
async def test_it_can_be_overridden(valkey_url: str, valkey: Redis, background: bool) -> None:
    """The method of a subclass is called for each record of a logger, open or not."""
    _Loud.heard.clear()
    log = _LoudBackgroundLog(valkey_url, {}) if background else _LoudLog(valkey_url, Settings())
    handler = CommonLogHandler(log, service="api")  # type: ignore[arg-type]

    handler.handle(logging.LogRecord("api", logging.INFO, "", 0, "early", None, None))
    if isinstance(log, CommonLog):
        await log.__aenter__()
    else:
        log.flush()
    handler.handle(logging.LogRecord("api", logging.INFO, "", 0, "late", None, None))
    await close(log)

    assert _Loud.heard == ["early", "late"]
    assert await valkey.zrange("common:api:info", 0, -1) == [b"EARLY", b"LATE"]


async def test_a_method_that_was_kept_starts_the_thread_again(
    valkey_url: str, valkey: Redis
) -> None:
    """A bound method from while the thread ran works after the close as any other call does."""
    log = await opened(BackgroundLog, valkey_url)
    await until(lambda: log.stats.pending == 0)
    kept = log.log_common_nowait
    await close(log)
    kept("api", "m")
    await until(lambda: total(valkey))
    await until(lambda: log.stats.counted == 2)
    await close(log)
