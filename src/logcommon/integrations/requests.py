"""What a web request is counted as, whichever framework served it. No I/O."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from logcommon.messages.origin import origin_of
from logcommon.model import Severity

NO_ROUTE = "<no route>"
"""The route of a path that matched none: clients make up paths, and each would be a message."""

ROUTE_KEY = "logcommon.route"
"""Where an application may put the template of its route, in an ASGI scope or a WSGI environ."""

ERROR_KEY = "logcommon.error"
"""Where an application may put an exception that it answered with a 5xx itself."""

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "WEBSOCKET"}
)

_END_OF_CODES = 5000
"""The end of the range of close codes for websockets (RFC 6455, section 7.4.2)."""

RequestEvent: TypeAlias = Literal["response", "exception", "slow", "disconnect"]
"""What is logged of a request: that a response was sent, that the application raised an exception
instead, that the request took long, or that the client disconnected."""


class LogCall(NamedTuple):
    """The arguments of one call of `log_common_nowait`."""

    name: str
    message: str
    severity: Severity = logging.INFO


@dataclass(frozen=True, slots=True)
class Request:
    """What is known about a request, or a websocket connection, when one of its events is logged.

    Attributes:
        event: What has happened.
        service: The `service` of the middleware.
        method: The HTTP method, or `WEBSOCKET`.
        route: The template of the route, as `/orders/{id}`, or `<no route>`.
        seconds: How long the request has taken so far.
        status: The status of the response, if one was started; the code that closed a websocket.
        error: The exception that the application raised.

    """

    event: RequestEvent
    service: str
    method: str
    route: str
    seconds: float
    status: int | None = None
    error: BaseException | None = None


Choose: TypeAlias = Callable[[Request], LogCall | None]
"""Returns what to log of a request; None logs nothing."""


def default_choice(request: Request) -> LogCall:
    """Return what is logged of a request unless the application passes a `choose` of its own.

    A response of 5xx is an error, one of 4xx a warning.
    """
    method = request.method if request.method in _METHODS else "<other method>"
    subject = f"{method} {request.route}"

    if request.event == "exception" and request.error is not None:
        message = f"{subject} {origin_of(request.error)}"
        return LogCall(request.service, message, logging.ERROR)
    if request.event == "slow":
        return LogCall(request.service, f"{subject} slow", logging.WARNING)
    if request.event == "disconnect":
        return LogCall(request.service, f"{subject} client disconnected", logging.INFO)
    message = f"{subject} {_status_text(request.status)}"
    return LogCall(request.service, message, _severity(request.status))


def _status_text(status: int | None) -> str:
    # A client may close a websocket with any code.
    return str(status) if status is None or status < _END_OF_CODES else "<other code>"


def _severity(status: int | None) -> int:
    # Websocket codes have four digits. 1000 and 1001 are normal, 1011 is an error of the server.
    if status is None or 500 <= status < 600 or status == 1011:
        return logging.ERROR
    return logging.WARNING if 400 <= status < 500 else logging.INFO
