"""A processor."""

from collections.abc import Iterator

import pytest

from logcommon.integrations.structlog import CommonLogProcessor


@pytest.fixture
def processor(valkey_url: str) -> Iterator[CommonLogProcessor]:
    """A processor with a client of its own, closed at the end."""
    processor = CommonLogProcessor(valkey_url)
    yield processor
    processor.close()
