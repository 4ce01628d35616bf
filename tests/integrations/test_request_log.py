"""How a request becomes a log call."""

import pytest

import logcommon
from logcommon import InvalidArgumentError
from logcommon.integrations._request_log import _CACHE_SIZE, RequestLog
from logcommon.integrations.requests import NO_ROUTE, Request, default_choice


def counted(log: logcommon.CommonLog) -> dict[str, int]:
    (batch,) = log._buffer.copy(10_000)
    return {message: n for counts in batch.counts.values() for message, n in counts.items()}


def test_a_response_that_is_known_counts_the_same() -> None:
    """The cache of log calls changes nothing about what is counted."""
    log = logcommon.connect()
    requests = RequestLog(log, "shop", default_choice)
    for status in (200, 404, 200, 200):
        requests.count("response", "GET", lambda: "/a", 0.0, status)
    requests.count("disconnect", "GET", lambda: "/a", 0.0, 200)
    assert counted(log) == {"GET /a 200": 3, "GET /a 404": 1, "GET /a client disconnected": 1}


def test_what_is_remembered_has_a_bound() -> None:
    """Made-up methods don't grow the cache without bound, and are counted all the same."""
    log = logcommon.connect()
    requests = RequestLog(log, "shop", default_choice)
    for number in range(2 * _CACHE_SIZE):
        requests.count("response", f"BREW{number}", lambda: NO_ROUTE, 0.0, 404)
    assert len(requests._responses) == _CACHE_SIZE
    assert counted(log) == {f"<other method> {NO_ROUTE} 404": 2 * _CACHE_SIZE}


def test_the_choice_of_an_application_is_asked_each_time() -> None:
    """Its choice may depend on the time that a request took, so it is never cached."""
    asked: list[Request] = []

    def skip(request: Request) -> None:
        asked.append(request)

    log = logcommon.connect()
    requests = RequestLog(log, "shop", skip)
    for _ in range(3):
        requests.count("response", "GET", lambda: "/a", 0.0, 200)
    assert len(asked) == 3
    assert log.stats.calls == 0


def test_a_route_that_cannot_be_found_harms_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """If the look-up of a route raises, nothing is counted, and there is one warning."""

    def route() -> str:
        raise KeyError("of secret text")

    log = logcommon.connect()
    requests = RequestLog(log, "shop", default_choice)
    for _ in range(3):
        requests.count("response", "GET", route, 0.0, 200)
    (warning,) = [each for each in caplog.messages if "not counted" in each]
    assert "KeyError at" in warning
    assert "secret" not in warning
    assert log.stats.calls == 0


def test_a_service_that_cannot_be_a_name_is_an_error_at_once() -> None:
    """It raises when the middleware is made, not at each request."""
    with pytest.raises(InvalidArgumentError):
        RequestLog(logcommon.connect(), "", default_choice)


def test_what_is_no_client_is_an_error_at_once() -> None:
    """The error names the type, and nothing that may be secret."""
    with pytest.raises(InvalidArgumentError, match=r"made by logcommon\.connect, not str$"):
        RequestLog("redis://:secret@localhost", "shop", default_choice)  # type: ignore[arg-type]
