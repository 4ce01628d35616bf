"""Calls that wait: each learns what became of its own entry."""

import asyncio

import pytest

from logcommon.exceptions import ClusterUnsupportedError, NotWrittenError
from logcommon.settings import Settings
from logcommon.write.buffer import Buffer
from logcommon.write.waiters import Waiters
from support.clock import NOON
from support.writing import API, API_NOON

AT_NOON = NOON * 3600.0


@pytest.fixture
def waiters() -> Waiters:
    """The waiters of a buffer in which `api` was logged to."""
    buffer = Buffer(Settings())
    buffer.put("api", "m", "info")
    return Waiters(buffer)


def waiting(waiters: Waiters, *calls: tuple[str, str, float | None] | None) -> list[asyncio.Future]:  # type: ignore[type-arg]
    """Return a future for each call, added to the waiters."""
    futures = [asyncio.get_running_loop().create_future() for _ in calls]
    for future, call in zip(futures, calls, strict=True):
        waiters.add(future, call)
    return futures


async def test_only_those_added_before_the_drain_are_resolved(waiters: Waiters) -> None:
    """A call that begins to wait during a commit waits for the next one."""
    (before,) = waiting(waiters, None)
    waiters.make_due()
    (later,) = waiting(waiters, None)
    waiters.resolve({})
    assert (before.done(), later.done(), len(waiters)) == (True, False, 1)

    waiters.make_due()
    waiters.resolve({})
    assert (later.done(), len(waiters)) == (True, 0)


async def test_a_loss_concerns_the_call_that_was_lost(waiters: Waiters) -> None:
    """A count that was lost in one hour fails that call; other hours and a flush succeed."""
    lost, other_hour, recent, flush = waiting(
        waiters,
        ("api", "INFO", AT_NOON + 1),
        ("api", "info", AT_NOON + 3600),
        ("api", "info", None),
        None,
    )
    waiters.make_due()
    waiters.resolve({API_NOON: "its key has another type"})
    with pytest.raises(NotWrittenError, match="was not counted: its key has another type"):
        lost.result()
    assert [other_hour.result(), recent.result(), flush.result()] == [None] * 3


async def test_a_loss_of_the_recent_log_concerns_its_calls(waiters: Waiters) -> None:
    """A recent log that could not be written fails the calls of `log_recent` alone."""
    recent, counted = waiting(waiters, ("api", "info", None), ("api", "info", AT_NOON))
    waiters.make_due()
    waiters.resolve({API: "refused"})
    with pytest.raises(NotWrittenError, match="not in the recent log: refused"):
        recent.result()
    assert counted.result() is None


async def test_a_call_that_gave_up_is_forgotten(waiters: Waiters) -> None:
    """Neither a new nor a due waiter takes memory once its caller has left."""
    first, second = waiting(waiters, None, None)
    waiters.discard(first)
    waiters.make_due()
    waiters.discard(second)
    assert len(waiters) == 0


async def test_a_cancelled_future_is_left_alone(waiters: Waiters) -> None:
    """A caller that was cancelled in the same moment is not resolved once more."""
    (future,) = waiting(waiters, None)
    future.cancel()
    waiters.make_due()
    waiters.resolve({})
    assert future.cancelled()


async def test_all_can_fail(waiters: Waiters) -> None:
    """Each waiter, new or due, gets an error of its own."""
    futures = waiting(waiters, None)
    waiters.make_due()
    futures += waiting(waiters, None)
    waiters.fail(ClusterUnsupportedError, "a cluster")
    errors = [future.exception() for future in futures]
    assert [str(error) for error in errors] == ["a cluster"] * 2
    assert errors[0] is not errors[1]
