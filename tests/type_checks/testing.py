"""What type checkers make of `logcommon.testing`. Checked by mypy and pyright, and never run."""

from collections import Counter
from typing import assert_type

import logcommon
from logcommon.integrations.logging import CommonLogHandler
from logcommon.testing import Captured, capture, fake_client


def test_a_sale(logcommon_capture: Captured) -> None:
    assert_type(logcommon_capture.counts, Counter[tuple[str, str, str]])
    assert logcommon_capture.counts["shop", "info", "order taken"] == 1
    assert logcommon_capture.counts["shop", "order taken"] == 1  # type: ignore[index]


def test_a_sale_without_pytest() -> None:
    with capture() as captured:
        assert_type(captured, Captured)
        assert_type(captured.log, logcommon.CommonLog)
        assert_type(captured.recent, dict[tuple[str, str], list[str]])
        CommonLogHandler(captured.log)
        captured.clear()
    captured.counts = Counter()  # type: ignore[misc]
    capture("redis://localhost:6379/0")  # type: ignore[call-arg]


async def test_a_client() -> None:
    async with fake_client(linger=0.1) as log:
        assert_type(log, logcommon.CommonLog)
        log.log_common_nowait("shop", "order taken")
