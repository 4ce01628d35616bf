"""Warnings of our own, few enough that nobody minds them."""

import logging
from collections.abc import Callable

import anyio

_LOGGER = logging.getLogger("logcommon")


class Alarm:
    """Logs a warning to the logger `logcommon`, at most one in `interval` seconds.

    Where the application has set up no logging, Python shows it on stderr.
    """

    def __init__(
        self, interval: float = 60, monotonic: Callable[[], float] = anyio.current_time
    ) -> None:
        self._interval = interval
        self._monotonic = monotonic
        self._silent_until = float("-inf")

    def warn(self, text: str) -> None:
        """Log `text`, or nothing where the last warning was too short a time ago."""
        now = self._monotonic()
        if now >= self._silent_until:
            self._silent_until = now + self._interval
            _LOGGER.warning(text)
