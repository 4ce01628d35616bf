"""Warnings of our own, few enough that nobody minds them."""

import logging
import time
from collections.abc import Callable

_LOGGER = logging.getLogger("logcommon")


class Alarm:
    """Logs warnings to the logger `logcommon`, of each kind at most one in `interval` seconds.

    Where the application has set up no logging, Python shows them on stderr.
    """

    def __init__(
        self, interval: float = 60, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval
        self._monotonic = monotonic
        self._silent_until: dict[str, float] = {}

    def warn(self, kind: str, text: str) -> None:
        """Log `text`, or nothing where the last warning of its kind was too short a time ago."""
        now = self._monotonic()
        if now >= self._silent_until.get(kind, now):
            self._silent_until[kind] = now + self._interval
            _LOGGER.warning(text)
