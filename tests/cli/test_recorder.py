"""Where the records of files are counted, and what is said about it."""

import dataclasses
import time

import pytest

import logcommon
from logcommon.cli import recorder as module
from logcommon.cli.formats.record import Record
from logcommon.cli.recorder import Recorder
from logcommon.model import LONGEST_NAME
from logcommon.testing import capture
from support.servers import NOWHERE


def test_the_clock_has_the_time_of_the_record() -> None:
    """It is that of a record while this is put, and else the time now."""
    recorder = Recorder(None, None, is_raw=False)
    with capture() as captured:
        log = logcommon.connect(NOWHERE, clock=recorder.clock)
        recorder.put(log, Record("old", 7200.0), "app")
        recorder.put(log, Record("now"), "app")
        assert captured.counts == {("app", "info", "old"): 1, ("app", "info", "now"): 1}
    assert abs(recorder.clock() - time.time()) < 60


def test_what_a_file_names_is_made_to_fit() -> None:
    """A name or severity that is too long is cut, and a blank one not used: no call fails."""
    recorder = Recorder(None, None, is_raw=False)
    with capture() as captured:
        log = logcommon.connect(NOWHERE)
        recorder.put(log, Record("m", None, "s" * 1000, "n" * 1000), "app")
        recorder.put(log, Record("m", None, "", " "), "app")
        assert captured.counts == {
            ("n" * LONGEST_NAME, "s" * LONGEST_NAME, "m"): 1,
            ("app", "info", "m"): 1,
        }


def test_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts lines, messages and destinations, in bounded memory, and gives the hours."""
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 2)
    recorder = Recorder(None, None, is_raw=False)
    with capture():
        log = logcommon.connect(NOWHERE)
        stats = log.stats
        assert recorder.summary(stats) == "0 lines: 0 of them as <other>, 0 dropped"
        recorder.lines = 1
        recorder.put(log, Record("m", 3600.0), "app")
        assert recorder.summary(dataclasses.replace(stats, calls=1, other=1)) == (
            "1 line to app (info), 1970-01-01 01:00 UTC: 1 of them as <other>, 0 dropped"
        )
        recorder.lines = 4
        recorder.put(log, Record("m", 0.0, "error"), "app")
        recorder.put(log, Record("m", 7200.0, "debug"), "app")
        assert recorder.summary(dataclasses.replace(stats, calls=3)).startswith(
            "4 lines, 3 messages, to 2 destinations, 1970-01-01 00:00 to 1970-01-01 02:00 UTC: "
        )
