"""What a web request is counted as."""

import logging

import pytest

import logcommon
from logcommon import InvalidArgumentError
from logcommon.integrations._request_log import _CACHE_SIZE, RequestLog
from logcommon.integrations.requests import NO_ROUTE, LogCall, Request, RequestEvent, default_choice


def request(
    event: RequestEvent = "response",
    method: str = "GET",
    status: int | None = 200,
) -> Request:
    return Request(event, "shop", method, "/a", seconds=0.5, status=status)


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        (101, logging.INFO),
        (204, logging.INFO),
        (307, logging.INFO),
        (404, logging.WARNING),
        (500, logging.ERROR),
        (599, logging.ERROR),
        (1000, logging.INFO),
        (1011, logging.ERROR),
        (None, logging.ERROR),
    ],
)
def test_the_severity_follows_the_class_of_the_status(status: int | None, severity: int) -> None:
    """A fault of the server is an error, one of the client a warning; no status is a fault."""
    assert default_choice(request(status=status)) == LogCall("shop", f"GET /a {status}", severity)


def test_each_kind_has_a_message_of_its_own() -> None:
    """What happened is told apart, and nothing in a message differs from request to request."""
    error = ValueError("a text that may hold anything")
    raised = Request("exception", "shop", "GET", "/a", 0.5, error=error)
    assert default_choice(raised) == LogCall("shop", "GET /a ValueError", logging.ERROR)
    assert default_choice(request("slow")) == LogCall("shop", "GET /a slow", logging.WARNING)
    assert default_choice(request("disconnect")).message == "GET /a client disconnected"


def test_a_method_that_a_client_made_up_is_not_a_message() -> None:
    """Whatever clients send as a method, there are only so many messages."""
    assert default_choice(request(method="BREW")).message == "<other method> /a 200"
    assert default_choice(request(method="WEBSOCKET", status=60_000)).message.endswith(
        "<other code>"
    )
    assert default_choice(request(method="WEBSOCKET", status=1000)).message == "WEBSOCKET /a 1000"


def counted(log: logcommon.CommonLog) -> dict[str, int]:
    (batch,) = log._buffer.copy(10_000)
    return {message: n for counts in batch.counts.values() for message, n in counts.items()}


def test_a_response_that_is_known_counts_the_same() -> None:
    """Remembering what is logged of a response changes nothing about what is logged."""
    log = logcommon.connect()
    requests = RequestLog(log, "shop", default_choice)
    for status in (200, 404, 200, 200):
        requests.count("response", "GET", lambda: "/a", 0.0, status)
    requests.count("disconnect", "GET", lambda: "/a", 0.0, 200)
    assert counted(log) == {"GET /a 200": 3, "GET /a 404": 1, "GET /a client disconnected": 1}


def test_what_is_remembered_has_a_bound() -> None:
    """Methods that clients make up are not kept without end, and are counted all the same."""
    log = logcommon.connect()
    requests = RequestLog(log, "shop", default_choice)
    for number in range(2 * _CACHE_SIZE):
        requests.count("response", f"BREW{number}", lambda: NO_ROUTE, 0.0, 404)
    assert len(requests._responses) == _CACHE_SIZE
    assert counted(log) == {f"<other method> {NO_ROUTE} 404": 2 * _CACHE_SIZE}


def test_the_choice_of_an_application_is_asked_each_time() -> None:
    """It may choose by how long a request took, so nothing is remembered of it."""
    asked: list[Request] = []

    def skip(request: Request) -> None:
        asked.append(request)

    log = logcommon.connect()
    requests = RequestLog(log, "shop", skip)
    for _ in range(3):
        requests.count("response", "GET", lambda: "/a", 0.0, 200)
    assert len(asked) == 3
    assert log.stats.calls == 0


def test_a_service_that_cannot_be_a_name_is_an_error_at_once() -> None:
    """The application hears of it when it is set up, and not with each request."""
    with pytest.raises(InvalidArgumentError):
        RequestLog(logcommon.connect(), "", default_choice)
