"""What a web request is counted as, whichever framework served it. Pure."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from logcommon.messages.origin import origin_of
from logcommon.model import Severity

NO_ROUTE = "<no route>"
"""In place of a path that matched no route: what clients make up must not become messages."""

ROUTE = "logcommon.route"
"""Where an application may leave the template of its route, in an ASGI scope or a WSGI environ."""

ERROR = "logcommon.error"
"""Likewise for the exception that the application answered with a 5xx itself."""

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"}
)

_CODES_END = 5000
"""Past the codes of websockets that mean something to somebody (RFC 6455, section 7.4.2)."""

What: TypeAlias = Literal["response", "exception", "slow", "disconnect"]
"""A response was sent; the application raised instead; it took long; the client went away."""


class Entry(NamedTuple):
    """What to log: the arguments of `log_common_nowait`."""

    name: str
    message: str
    severity: Severity = logging.INFO


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of a request, or of a websocket connection, when something is logged of it."""

    what: What
    service: str
    method: str
    """The HTTP method, or `WEBSOCKET`."""
    route: str
    """The template of the route, as `/orders/{id}`, or `<no route>`."""
    seconds: float
    """How long it has taken so far."""
    status: int | None = None
    """Of the response, where one was begun; of a websocket the code with which it was closed."""
    error: BaseException | None = None
    """What the application raised."""


Choose: TypeAlias = Callable[[Request], Entry | None]
"""Chooses what to log of a request, None for nothing."""


def choose(request: Request) -> Entry:
    """Return what is logged of a request where the application does not choose itself.

    The severity of a response follows its class: 5xx is an error and 4xx a warning.
    """
    subject = f"{_method(request.method)} {request.route}"
    if request.what == "exception" and request.error is not None:
        return Entry(request.service, f"{subject} {origin_of(request.error)}", logging.ERROR)
    if request.what == "slow":
        return Entry(request.service, f"{subject} slow", logging.WARNING)
    if request.what == "disconnect":
        return Entry(request.service, f"{subject} client disconnected", logging.INFO)
    return Entry(request.service, f"{subject} {_status(request.status)}", _severity(request.status))


def _status(status: int | None) -> str:
    # Clients close a websocket with any code they like.
    return str(status) if status is None or status < _CODES_END else "<other code>"


def _method(method: str) -> str:
    return method if method in _METHODS or method == "WEBSOCKET" else "<other method>"


def _severity(status: int | None) -> int:
    # Codes of websockets are four digits: 1000 to 1001 are an orderly end, 1011 is the server's.
    if status is None or 500 <= status < 600 or status == 1011:
        return logging.ERROR
    return logging.WARNING if 400 <= status < 500 else logging.INFO
