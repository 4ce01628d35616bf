"""What the ASGI and the WSGI middleware share: the states of a request, and `repr`."""

import math
from collections.abc import Callable

import pytest

from logcommon.background import BackgroundLog
from logcommon.integrations import asgi, wsgi
from logcommon.integrations._middleware import Middleware, RequestCycle, State
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations.requests import Request
from support.clock import HandClock

Step = Callable[[RequestCycle], None]


class Counting:
    """A cycle of a request and what was counted of it."""

    def __init__(self, slow_after: float = math.inf) -> None:
        self.seen: list[tuple[str, int | None]] = []
        log = BackgroundLog("redis://127.0.0.1:1", {})
        requests = RequestLog(log, "shop", self._choose)
        self.cycle = RequestCycle(requests, "GET", lambda: "/", slow_after)

    def _choose(self, request: Request) -> None:
        self.seen.append((request.event, request.status))


def start(status: int) -> Step:
    def step(cycle: RequestCycle) -> None:
        cycle.status = status

    return step


def leave_with_code(cycle: RequestCycle) -> None:
    cycle.leave_with_code(1001)


def fail(cycle: RequestCycle) -> None:
    cycle.fail(ValueError())


def finish(cycle: RequestCycle) -> None:
    cycle.finish(500)


def finish_with_error(cycle: RequestCycle) -> None:
    cycle.finish(500, ValueError())


ok, unavailable = start(200), start(503)
end, complete, leave = RequestCycle.end, RequestCycle.complete, RequestCycle.leave


@pytest.mark.parametrize(
    ("steps", "seen", "state"),
    [
        ([], [], State.OPEN),
        ([ok, end], [], State.ENDING),
        ([ok, end, complete], [("response", 200)], State.ANSWERED),
        ([ok, end, complete, finish], [("response", 200)], State.ANSWERED),
        ([ok, end, complete, leave], [("response", 200)], State.ANSWERED),
        ([ok, end, complete, fail], [("response", 200), ("exception", 200)], State.FAILED),
        ([ok, end, finish], [("response", 200)], State.ANSWERED),
        ([ok, finish], [("response", 200)], State.ANSWERED),
        ([ok, finish_with_error], [("response", 200)], State.ANSWERED),
        ([finish], [("response", 500)], State.ANSWERED),
        ([finish_with_error], [("exception", 500)], State.FAILED),
        ([unavailable, end, complete], [], State.COMPLETE),
        ([unavailable, end, complete, leave], [], State.COMPLETE),
        ([unavailable, end, complete, finish], [("response", 503)], State.ANSWERED),
        ([unavailable, end, complete, finish_with_error], [("exception", 503)], State.FAILED),
        ([unavailable, end, complete, fail], [("exception", 503)], State.FAILED),
        ([leave], [("disconnect", None)], State.LEFT),
        ([leave, leave, finish], [("disconnect", None)], State.LEFT),
        ([ok, end, leave], [("disconnect", 200)], State.LEFT),
        ([leave, ok, end, complete, finish], [("disconnect", None)], State.LEFT),
        ([leave, fail], [("disconnect", None), ("exception", None)], State.FAILED),
        ([leave_with_code, finish], [("response", 1001)], State.LEFT),
        ([fail, fail, finish, leave, complete], [("exception", None)], State.FAILED),
    ],
)
def test_what_is_counted_on_the_way(
    steps: list[Step], seen: list[tuple[str, int | None]], state: State
) -> None:
    """Each request counts once; only an exception may follow what was counted before."""
    counting = Counting()
    for step in steps:
        step(counting.cycle)
    assert (counting.seen, counting.cycle.state) == (seen, state)


@pytest.mark.parametrize(
    ("steps", "times"),
    [
        ([RequestCycle.check_slow], 1),
        ([RequestCycle.check_slow, RequestCycle.check_slow, finish], 1),
        ([finish], 1),
        ([fail], 1),
        ([leave], 1),
        ([ok, end, complete], 1),
        ([end], 0),
    ],
)
def test_a_slow_request_counts_once(time: HandClock, steps: list[Step], times: int) -> None:
    """It counts as slow at the first step after the time, whichever that is."""
    for is_late in (False, True):
        counting = Counting(slow_after=2)
        time.now += 3 if is_late else 2
        for step in steps:
            step(counting.cycle)
        assert sum(event == "slow" for event, _ in counting.seen) == times * is_late


def test_what_comes_after_a_complete_response_is_not_slow(time: HandClock) -> None:
    """Background tasks don't make a request slow."""
    counting = Counting(slow_after=2)
    ok(counting.cycle)
    counting.cycle.complete()
    time.now += 3
    finish(counting.cycle)
    assert counting.seen == [("response", 200)]


@pytest.mark.parametrize("kind", [asgi.CommonLogMiddleware, wsgi.CommonLogMiddleware])
def test_a_middleware_shows_its_service_and_where_it_writes(kind: Callable[..., object]) -> None:
    """Its `repr` has no credentials."""
    middleware = kind(print, "redis://me:secret@shop.test", service="shop")
    assert isinstance(middleware, Middleware)
    assert repr(middleware) == f"<CommonLogMiddleware of service 'shop' with {middleware._log!r}>"
    assert "shop.test" in repr(middleware)
    assert "secret" not in repr(middleware)
