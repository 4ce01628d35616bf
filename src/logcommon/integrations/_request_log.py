"""What all web integrations share: turns a request into a log call, and never raises."""

import logging
from collections.abc import Callable
from time import monotonic

from logcommon.background import BackgroundLog
from logcommon.client import CommonLog
from logcommon.exceptions import InvalidArgumentError
from logcommon.integrations.requests import (
    Choose,
    LogCall,
    Request,
    RequestEvent,
    default_choice,
)
from logcommon.messages.origin import origin_of
from logcommon.model import Destination, FixedText
from logcommon.runtime.warnings import RateLimitedWarnings

_LOGGER = logging.getLogger("logcommon")

_CACHE_SIZE = 1_000


class RequestLog:
    """Counts what `choose` returns for requests. `count` never raises and never blocks.

    If the client is not open when a request is counted, the logger `logcommon` warns once and says
    what to do.

    Args:
        log: The client; a background client opens itself.
        service: The name to count under.
        choose: Returns what to log of a request; None logs nothing. If it raises, nothing is
            logged, and the logger `logcommon` warns, once a minute at most.

    Raises:
        InvalidArgumentError: `log` is not a client, or `service` can't be used as a name.

    """

    def __init__(self, log: CommonLog | BackgroundLog, service: str, choose: Choose) -> None:
        if not isinstance(log, CommonLog | BackgroundLog):
            raise InvalidArgumentError(
                f"log must be a client made by logcommon.connect, not {type(log).__name__}"
            )
        Destination.of(service, "info")

        self._log = log
        self._unopened = log if isinstance(log, CommonLog) else None
        self._service = service
        self._choose = choose
        self._warnings = RateLimitedWarnings()
        # The default choice for a response depends on these alone, so it is made once for each.
        self._responses: dict[tuple[str, str, int | None], LogCall] = {}

    def count(
        self,
        event: RequestEvent,
        method: str,
        route: Callable[[], str],
        began: float,
        status: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Count an event of a request.

        Args:
            event: What has happened.
            method: The HTTP method, or `WEBSOCKET`.
            route: Returns the template of the request's route.
            began: When the request began, by the monotonic clock.
            status: The status of the response, if there is one.
            error: What the application raised.

        """
        if self._unopened is not None and not self._unopened.is_open:
            self._unopened = None
            _warn_of_unopened()

        try:
            call = self._choice(event, method, route(), began, status, error)
            if call is not None:
                name, message, severity = call
                self._log.log_common_nowait(name, FixedText(message), severity)
        except Exception as fault:  # noqa: BLE001  # it must not reach the application
            origin = origin_of(fault)
            self._warnings.warn(
                "choose", f"a request was not counted: choosing what to log raised {origin}"
            )

    def _choice(
        self,
        event: RequestEvent,
        method: str,
        route: str,
        began: float,
        status: int | None,
        error: BaseException | None,
    ) -> LogCall | None:
        is_cached = event == "response" and self._choose is default_choice
        if is_cached and (known := self._responses.get((method, route, status))) is not None:
            return known

        seconds = monotonic() - began
        request = Request(event, self._service, method, route, seconds, status, error)
        call = self._choose(request)
        if is_cached and call is not None and len(self._responses) < _CACHE_SIZE:
            self._responses[method, route, status] = call
        return call


def _warn_of_unopened() -> None:
    _LOGGER.warning(
        "the client that counts requests is not open, so nothing is written to Redis: open it "
        "when the application starts, for instance with lifespan=lifespan(log), or pass a URL "
        "instead of a client"
    )
