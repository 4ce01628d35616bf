"""Fixtures of the tests of captures."""

from collections.abc import Iterator

import pytest

from logcommon.read.reader import Reader
from logcommon.runtime import ending
from logcommon.write.buffer import Buffer


@pytest.fixture(autouse=True)
def back_to_normal() -> Iterator[None]:
    """Whatever a test does, clients write to their own servers after it."""
    originals = Buffer.put, Buffer.put_recent, Reader.top
    yield
    ending.close_all()  # no thread of a background client is left for other tests
    assert (Buffer.put, Buffer.put_recent, Reader.top) == originals
