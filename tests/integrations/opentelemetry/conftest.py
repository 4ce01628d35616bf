"""An exporter."""

from collections.abc import Iterator

import pytest

from logcommon.integrations.opentelemetry import CommonLogExporter


@pytest.fixture
def exporter(valkey_url: str) -> Iterator[CommonLogExporter]:
    """An exporter with a URL, closed at the end."""
    exporter = CommonLogExporter(valkey_url, "shop")
    yield exporter
    exporter.close()
