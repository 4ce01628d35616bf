"""The fixture of `logcommon.testing` for pytest.

It is outside the package so that pytest can load it without importing the package. The import would
take time in every run, and coverage would miss the code that it runs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from logcommon.testing import Captured


@pytest.fixture
def logcommon_capture() -> "Iterator[Captured]":
    """Keep what the test logs in memory instead of writing it to Redis.

    `logcommon_capture.counts` says how often each (service, severity, message) was logged.
    """
    from logcommon.testing import capture

    with capture() as captured:
        yield captured
