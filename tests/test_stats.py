"""The account of every call: it adds up at any moment, unless something is wrong."""

import asyncio

import pytest
from fakeredis import FakeServer

import logcommon
from support.clock import HandClock
from support.lines import at_each_line
from support.network import Network

WRITING = tuple(
    f"logcommon.{module}"
    for module in (
        "client",
        "write.backlog",
        "write.buffer",
        "write.commit",
        "write.committer",
        "write.fold",
        "write.pending",
        "write.progress",
        "write.replays",
        "write.reporter",
        "write.transaction",
        "write.waiters",
        "write.writer",
    )
)


def assert_adds_up(stats: logcommon.Stats) -> None:
    """Every call is in one place: counted, `<other>`, dropped, spooled or pending."""
    accounted = stats.counted + stats.other + stats.dropped + stats.spooled + stats.pending
    assert stats.calls == accounted


@pytest.mark.parametrize("ends_cut_off", [False, True])
def test_the_account_adds_up_at_every_line_of_the_writer(ends_cut_off: bool) -> None:
    """It adds up whenever a thread or a signal handler reads it."""
    clock = HandClock()
    network = Network(FakeServer())
    log = logcommon.connect(
        network.client(), clock=clock, max_pending=30, linger=0, drain_timeout=0.2
    )

    async def use() -> None:
        async with log:
            for number in range(600):
                log.log_common_nowait("api", str(number % 50))
            await log.log_common("web", "m", "error")
            clock.turn()
            await log.log_common("api", "the next hour")
            clock.turn(-30)
            log.log_common_nowait("api", "too late")
            await log.flush()

            clock.turn(29)
            if ends_cut_off:
                network.end(None)
            log.log_common_nowait("api", "the last")
        log.log_common_nowait("api", "after the close")

    lines = at_each_line(lambda: asyncio.run(use()), lambda _: assert_adds_up(log.stats), *WRITING)
    assert lines > 500
    stats = log.stats
    assert (stats.calls, stats.pending, stats.dropped_closed) == (605, 0, 1)
    assert stats.dropped_too_late == 1
    assert stats.dropped_unwritten == int(ends_cut_off)
    assert stats.other > 0


def test_the_account_can_fail_to_add_up() -> None:
    """`pending` is counted and not calculated, so a lost call shows."""
    log = logcommon.connect()
    log.log_common_nowait("api", "m")
    assert_adds_up(log.stats)
    log._buffer._tallies.popitem()[1].common.clear()
    log._ledger.dropped_refused += 1
    with pytest.raises(AssertionError):
        assert_adds_up(log.stats)
