"""What a capture and a fake client answer is what Redis would, and pytest has a fixture."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import logcommon
from logcommon import ClientClosedError, InvalidArgumentError
from logcommon.model import OTHER
from logcommon.testing import capture, fake_client
from support.clock import HandClock
from support.servers import NOWHERE


async def test_messages_are_treated_as_in_production() -> None:
    """Redacted, cut, under names of severities, and as `<other>` past a bound."""
    with capture() as captured:
        async with logcommon.connect(
            NOWHERE,
            redact=lambda message: message.replace("secret", "***"),
            max_message_bytes=16,
            max_pending=2,
        ) as log:
            log.log_common_nowait("shop", "secret", logging.CRITICAL)
            log.log_common_nowait("shop", "x" * 17, "Notice")
            log.log_common_nowait("shop", "one too many")
            assert captured.counts == {
                ("shop", "critical", "***"): 1,
                ("shop", "notice", "x" * 13 + "…"): 1,
                ("shop", "info", OTHER): 1,
            }


async def test_text_without_utf_8_reads_the_same_before_and_after_a_commit() -> None:
    """As it is stored, and read by other clients."""
    with capture() as captured:
        async with logcommon.connect(NOWHERE) as log:
            log.log_common_nowait("shop: {é}", "\udc80")
            for _ in ("before", "after"):
                assert captured.counts == {("shop: {é}", "info", "\\udc80"): 1}
                assert captured.recent == {("shop: {é}", "info"): ["\\udc80"]}
                await log.flush()


async def test_the_recent_log_keeps_a_hundred() -> None:
    """Of two clients together, the newest first."""
    with capture() as captured:
        log, other = logcommon.connect(NOWHERE), logcommon.connect(NOWHERE)
        for number in range(130):
            (log if number % 2 else other).log_common_nowait("shop", str(number))
        expected = [str(number) for number in range(129, 29, -1)]
        assert captured.recent == {("shop", "info"): expected}

        for each in [log] * 100 + [other] * 100:
            each.log_recent_nowait("shop", "m")
        assert captured.recent == {("shop", "info"): ["m"] * 100}


async def test_errors_are_those_of_production() -> None:
    """Bad input, a bad URL, and a client that is not open."""
    with capture() as captured:
        with pytest.raises(InvalidArgumentError):
            logcommon.connect("http://localhost")
        log = logcommon.connect(NOWHERE)
        with pytest.raises(InvalidArgumentError):
            log.log_common_nowait("", "message")
        with pytest.raises(ClientClosedError):
            await log.log_common("shop", "message")
        async with log:
            pass
        log.log_common_nowait("shop", "too late")
        assert log.stats.dropped_closed == 1
        assert not captured.counts


async def read_all(log: logcommon.CommonLog, clock: HandClock) -> list[object]:
    """Log over some hours, and return all that can be read then."""
    seen: list[object] = []
    for hour in (0, 1, 3, -1, 1, -4, -9):
        clock.turn(hour)
        for number in range(8):
            log.log_common_nowait("shop: {a}", f"message é {number}")
            log.log_common_nowait("shop: {a}", f"message {number % 3}", "error")
        log.log_recent_nowait("shop: {a}", "\udc80")
        await log.flush()
        for severity in ("info", "error"):
            hours = await log.hours("shop: {a}", severity)
            seen += hours, await log.recent("shop: {a}", severity)
            seen += [await log.top("shop: {a}", severity, 3, each) for each in hours]
    return [
        *seen,
        await log.destinations(),
        await log.hours_by_destination(),
        await log.minutes("shop: {a}", hours=5),
    ]


async def test_memory_answers_as_a_server_does(valkey_url: str) -> None:
    """The same calls, over several hours, read the same from memory and from Valkey."""
    async with logcommon.connect(valkey_url, clock=(clock := HandClock())) as log:
        expected = await read_all(log, clock)
    with capture():
        async with logcommon.connect(NOWHERE, clock=(clock := HandClock())) as log:
            assert await read_all(log, clock) == expected


def test_the_text_of_a_capture_shows_the_counts_alone() -> None:
    """It helps to see why an assertion failed, and has no URL in it."""
    with capture() as captured:
        logcommon.background(NOWHERE).log_common_nowait("shop", "order taken")
        shown = "<logcommon.testing.Captured {('shop', 'info', 'order taken'): 1}>"
        assert repr(captured) == shown


async def test_a_fake_client_has_an_empty_redis_of_its_own() -> None:
    """Two don't see each other's counts, and settings are passed on."""
    async with fake_client(redact=str.upper) as log, fake_client() as other:
        await log.log_common("shop", "order taken")
        (row,) = await log.top("shop")
        assert (row.count, row.message) == (1, "ORDER TAKEN")
        assert await other.destinations() == []


def test_without_fakeredis_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a fake client needs it."""
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(ImportError, match="pip install fakeredis"):
        fake_client()


# pytest

IN_A_PROJECT = """
import sys
import logging

assert "logcommon" not in sys.modules, "imported before the tests were"


def test_first(logcommon_capture):
    import logcommon

    global log
    log = logcommon.background("redis://localhost:1/0")
    log.log_common_nowait("shop", "first")
    assert logcommon_capture.counts == {("shop", "info", "first"): 1}


def test_second(logcommon_capture):
    log.log_common_nowait("shop", "second")
    assert logcommon_capture.counts == {("shop", "info", "second"): 1}


def test_that_fails(logcommon_capture):
    log.log_common_nowait("shop", "third")
    assert logcommon_capture.counts == {("shop", "info", "3rd"): 1}
"""


def test_pytest_has_the_fixture(tmp_path: Path) -> None:
    """Each test gets a capture of its own, and the package is imported no earlier than by tests."""
    (tmp_path / "test_shop.py").write_text(IN_A_PROJECT)
    # By the name of the entry point; the plugins of others would take seconds to load.
    pytest_alone = ("-m", "pytest", "-W", "error", "--disable-plugin-autoload", "-p", "logcommon")
    done = subprocess.run(
        [sys.executable, *pytest_alone, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "Left contains 1 more item:\nE         {('shop', 'info', 'third'): 1}\n" in done.stdout


def test_a_fakeredis_that_is_broken_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If it lacks a module of its own, that is the error."""
    monkeypatch.delitem(sys.modules, "fakeredis")
    monkeypatch.setitem(sys.modules, "fakeredis.aioredis", None)
    with pytest.raises(ModuleNotFoundError, match=r"fakeredis\.aioredis"):
        fake_client()


async def test_templates_are_merged_as_in_production() -> None:
    """A capture counts templates, and `top` merges them as a reader of Redis does."""
    with capture() as captured:
        async with logcommon.connect(NOWHERE, template=logcommon.template) as log:
            for number, user in enumerate(("alice", "bob", "carol")):
                log.log_common_nowait("shop", f"user {user} paid order {number}")
            one, two, three = await log.top("shop")
            assert {row.message for row in (one, two, three)} == {
                message for _, _, message in captured.counts
            }
            for merge in (True, None):
                (row,) = await log.top("shop", merge=merge)
                assert (row.count, row.message) == (3, "user <*> paid order <num>")
                assert len(row.merged) == 3
