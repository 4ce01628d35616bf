"""What a web request is counted as."""

import logging

import pytest

from logcommon.integrations.requests import LogCall, Request, RequestEvent, default_choice


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
    """5xx is an error and 4xx a warning; no status is an error, too."""
    assert default_choice(request(status=status)) == LogCall("shop", f"GET /a {status}", severity)


def test_each_kind_has_a_message_of_its_own() -> None:
    """Each event has its own message, without anything that differs between requests."""
    error = ValueError("a text that may hold anything")
    raised = Request("exception", "shop", "GET", "/a", 0.5, error=error)
    assert default_choice(raised) == LogCall("shop", "GET /a ValueError", logging.ERROR)
    assert default_choice(request("slow")) == LogCall("shop", "GET /a slow", logging.WARNING)
    assert default_choice(request("disconnect")).message == "GET /a client disconnected"


def test_a_method_that_a_client_made_up_is_not_a_message() -> None:
    """Clients can send any method or code; the number of messages stays bounded."""
    assert default_choice(request(method="BREW")).message == "<other method> /a 200"
    assert default_choice(request(method="WEBSOCKET", status=60_000)).message.endswith(
        "<other code>"
    )
    assert default_choice(request(method="WEBSOCKET", status=1000)).message == "WEBSOCKET /a 1000"
