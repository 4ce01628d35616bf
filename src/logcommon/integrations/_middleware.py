"""What the ASGI and the WSGI middleware share: their parameters, and the states of a request."""

import math
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic
from typing import Any, Generic, TypeVar

from logcommon.background import BackgroundLog, log_for
from logcommon.client import CommonLog
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations.requests import Choose, RequestEvent, default_choice

_Application = TypeVar("_Application")


class Middleware(Generic[_Application]):
    """Middleware that wraps an application and counts its requests with a client."""

    def __init__(
        self,
        app: _Application,
        /,
        log: str | CommonLog | BackgroundLog,
        *,
        service: str = "web",
        slow_after: float | None = 1.0,
        choose: Choose = default_choice,
        **settings: Any,
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            log: A URL, as for `connect`: a thread writes in the background, and writes what is
                pending when the process exits. Or a client, which the application opens and closes.
            service: The name to count under.
            slow_after: Seconds after which a request is slow; None for never.
            choose: Returns what to log of a request; None logs nothing.
            settings: Keyword arguments of `connect`, if `log` is a URL.

        Raises:
            InvalidArgumentError: The URL, the service or a setting can't be used.

        """
        self._app = app
        self._log = log_for(log, settings)
        self._service = service
        self._requests = RequestLog(self._log, service, choose)
        self._slow_after = math.inf if slow_after is None else slow_after

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of service {self._service!r} with {self._log!r}>"


class State(Enum):
    """How far a request has got: OPEN → ENDING → COMPLETE → ANSWERED, or instead LEFT or FAILED."""

    OPEN = auto()
    """The response is not complete; it may not have started."""
    ENDING = auto()
    """The last part of the response is being sent."""
    COMPLETE = auto()
    """The last part was sent. A 5xx is not counted until the application returns, because it may
    still raise the exception that caused the 5xx."""
    ANSWERED = auto()
    """The response is counted."""
    LEFT = auto()
    """The client has gone."""
    FAILED = auto()
    """The application has raised an exception."""


OPEN, ENDING, COMPLETE, ANSWERED, LEFT, FAILED = State
"""The members as globals: Python 3.11 takes 0.2 µs to look one up in the class."""

_INCOMPLETE = (OPEN, ENDING)
_COUNTED = (ANSWERED, LEFT, FAILED)


class RequestCycle:
    """Counts one request, or one websocket connection, as it goes from state to state.

    A request counts once, as a response, a disconnect or an exception, except that an exception may
    follow one of the others. A request that takes too long is also counted as slow.

    Args:
        requests: Where to count.
        method: The HTTP method, or `WEBSOCKET`.
        route: Returns the template of the route.
        slow_after: Seconds after which the request is slow.

    """

    __slots__ = ("_began", "_method", "_requests", "_route", "_slow_from", "state", "status")

    def __init__(
        self, requests: RequestLog, method: str, route: Callable[[], str], slow_after: float
    ) -> None:
        self._requests = requests
        self._method = method
        self._route = route
        self._began = monotonic()
        self._slow_from = self._began + slow_after
        self.state = OPEN
        self.status: int | None = None

    def end(self) -> None:
        """Go on to ENDING: the last part of the response is about to be sent."""
        if self.state is OPEN:
            self.state = ENDING

    def complete(self) -> None:
        """Go on to COMPLETE: the last part was sent; count all but a 5xx."""
        self.check_slow()
        self._slow_from = math.inf
        if self.state in _INCOMPLETE:
            self.state = COMPLETE
            if self.status is not None and not 500 <= self.status < 600:
                self._answer()

    def leave(self) -> None:
        """Count a client that has gone, unless the response is complete."""
        if self.state in _INCOMPLETE:
            self.state = LEFT
            self._count("disconnect")
        self.check_slow()

    def leave_with_code(self, code: int) -> None:
        """Count a websocket that the client has closed with a code."""
        self.status = code
        self.complete()
        self.state = LEFT

    def fail(self, error: BaseException) -> None:
        """Count an exception that the application raised, unless one is counted already."""
        if self.state is not FAILED:
            self.state = FAILED
            self._count("exception", error)
        self.check_slow()

    def finish(self, default_status: int, error: object = None) -> None:
        """Count the response, if nothing is counted yet: the application has returned.

        Args:
            default_status: What the server sends if the application has started no response.
            error: The exception behind a 5xx, if the application has left one.

        """
        if self.state not in _COUNTED:
            self.status = self.status or default_status
            if isinstance(error, BaseException) and self.status >= 500:
                self.fail(error)
            else:
                self._answer()
        self.check_slow()

    def check_slow(self) -> None:
        """Count the request as slow, once, if it takes longer than it may."""
        if monotonic() > self._slow_from:
            self._slow_from = math.inf
            self._count("slow")

    def _answer(self) -> None:
        self.state = ANSWERED
        self._count("response")

    def _count(self, event: RequestEvent, error: BaseException | None = None) -> None:
        self._requests.count(event, self._method, self._route, self._began, self.status, error)
