"""What web middleware has in common: a request becomes an entry, and nothing may harm its host."""

import logging
from time import monotonic

from logcommon.background import BackgroundLog
from logcommon.client import CommonLog
from logcommon.exceptions import InvalidArgumentError
from logcommon.integrations.requests import Choose, Entry, Request, What
from logcommon.integrations.requests import choose as usual_choice
from logcommon.messages.origin import origin_of
from logcommon.model import Destination
from logcommon.runtime.warnings import RateLimitedWarnings

_LOGGER = logging.getLogger("logcommon")

_KNOWN = 1_000


class RequestLog:
    """Logs what is chosen of requests. `note` never raises, and waits for nothing.

    If the client is not open when a request is noted, one warning of the logger `logcommon` says
    what to do about it.

    Args:
        log: The client, or one in the background, which opens itself.
        service: The name to count under.
        choose: Returns what to log of a request, None for nothing. Where it raises, nothing is
            logged but a warning of the logger `logcommon`, once a minute at most.

    Raises:
        InvalidArgumentError: This is no client, or the service can't be used as a name.

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
        self._alarm = RateLimitedWarnings()
        # Of the usual choice a response's entry follows from these: it is made once for each.
        self._known: dict[tuple[str, str, int | None], Entry] = {}

    def note(
        self,
        what: What,
        method: str,
        route: str,
        began: float,
        status: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Log what is chosen of a request that began at that monotonic time."""
        if self._unopened is not None and not self._unopened.is_open:
            self._warn_of_unopened()
        try:
            entry: Entry | None = None
            if what == "response":
                entry = self._known.get((method, route, status))
            if entry is None:
                seconds = monotonic() - began
                request = Request(what, self._service, method, route, seconds, status, error)
                entry = self._chosen(request)
            if entry is not None:
                self._log.log_common_nowait(*entry)
        except Exception as fault:  # noqa: BLE001  # the application has no part in it
            self.warn(fault)

    def warn(self, fault: Exception) -> None:
        """Warn of a request that is not counted."""
        origin = origin_of(fault)
        self._alarm.warn("choose", f"a request is not counted: choosing failed: {origin}")

    def _warn_of_unopened(self) -> None:
        self._unopened = None  # once is enough
        _LOGGER.warning(
            "the client that counts requests is not open, so nothing is written to Redis: open it "
            "when the application starts, for instance with lifespan=lifespan(log), or pass a URL "
            "instead of a client"
        )

    def _chosen(self, request: Request) -> Entry | None:
        entry = self._choose(request)
        usual = self._choose is usual_choice and request.what == "response"
        if entry is not None and usual and len(self._known) < _KNOWN:
            self._known[request.method, request.route, request.status] = entry
        return entry
