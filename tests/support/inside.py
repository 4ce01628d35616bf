"""What tests look at inside an open client."""

import asyncio

import logcommon
from logcommon.write.writer import Writer


def writer_of(log: logcommon.CommonLog) -> Writer:
    """Return the writer of an open client."""
    assert log._session is not None
    return log._session.writer


def host_of(log: logcommon.CommonLog) -> "asyncio.Task[None]":
    """Return the task that writes for an open client."""
    assert log._session is not None
    return log._session.task
