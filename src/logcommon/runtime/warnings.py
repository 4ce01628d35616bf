"""logcommon's own warnings, limited in rate."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable

_LOGGER = logging.getLogger("logcommon")


class RateLimitedWarnings:
    """Logs warnings to the logger `logcommon`, at most one of each kind in `interval` seconds.

    If the application has not configured logging, Python shows them on stderr.
    """

    def __init__(
        self, interval: float = 60, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval
        self._monotonic = monotonic
        self._muted_until: dict[str, float] = {}

    def warn(self, kind: str, text: str) -> None:
        """Log `text`, unless a warning of this kind was logged less than `interval` seconds ago.

        This never raises: if a logging handler does, the warning goes to stderr.
        """
        now = self._monotonic()
        if now < self._muted_until.get(kind, now):
            return
        self._muted_until[kind] = now + self._interval

        try:
            _LOGGER.warning(text)
        except Exception:  # noqa: BLE001  # handlers are the application's
            with contextlib.suppress(Exception):  # stderr may be closed, or None
                print(f"logcommon: {text}", file=sys.stderr)  # noqa: T201
