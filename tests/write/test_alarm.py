"""Warnings of our own."""

import logging

import pytest

from logcommon.write.alarm import Alarm
from support.clock import HandClock


def test_warnings_are_few(caplog: pytest.LogCaptureFixture, clock: HandClock) -> None:
    """However often something goes wrong, one warning of its kind in the interval is logged."""
    alarm = Alarm(interval=60, monotonic=clock)
    with caplog.at_level(logging.WARNING, logger="logcommon"):
        for _ in range(5):
            alarm.warn("fault", "first")
        alarm.warn("closed", "of another kind")
        clock.now += 60
        alarm.warn("fault", "second")
    assert caplog.messages == ["first", "of another kind", "second"]
