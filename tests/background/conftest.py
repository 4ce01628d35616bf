"""Fixtures of the tests of the background client."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from logcommon.background import BackgroundLog
from logcommon.runtime import ending
from support.background import threads
from support.until import until


@pytest.fixture(autouse=True)
async def not_in_a_hurry() -> None:
    """Wait until it no longer matters that an earlier test has stopped a server in this process."""
    await until(lambda: not ending.must_write_at_once())


@pytest.fixture
def log(valkey_url: str) -> Iterator[BackgroundLog]:
    """A background client that writes only when it has to; closed at the end."""
    log = BackgroundLog(valkey_url, {"linger": 3600, "drain_timeout": 60})
    yield log
    log.close()
    assert not threads()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="logcommon-") as directory:
        yield Path(directory)
