"""A client for the aiohttp middleware."""

import pytest

import logcommon
from support.clock import HandClock


@pytest.fixture
def log(valkey_url: str, clock: HandClock) -> logcommon.CommonLog:
    """A client for an application to open."""
    return logcommon.connect(valkey_url, clock=clock)
