"""The settings of a client: defaults and checks. No I/O."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Clock

DEFAULT_HISTORY_HOURS = 24
DEFAULT_CLOCK_LEAD = 3600.0

SHORTEST_MESSAGE_LIMIT = 16
"""The lowest `max_message_bytes`: less of a message would say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one client, checked. The docstring of `logcommon.connect` explains each.

    Raises:
        InvalidArgumentError: A setting is of the wrong type or out of range.

    """

    linger: float = 0.2
    max_linger: float = 2.0
    drain_timeout: float = 5.0
    commit_timeout: float = 5.0
    history_hours: int = DEFAULT_HISTORY_HOURS
    max_clock_lead: float = DEFAULT_CLOCK_LEAD
    max_pending: int = 10_000
    max_pending_bytes: int = 16 * 1024 * 1024
    max_members: int = 10_000
    max_message_bytes: int = 1024
    max_destinations: int = 1_000
    hold_seconds: float = 10.0
    hold_bytes: int = 16 * 1024 * 1024
    wait_replicas: int = 0
    spool: str | os.PathLike[str] | None = None
    redact: Callable[[str], str] | None = None
    template: Callable[[str], str] | None = None
    clock: Clock = time.time

    def __post_init__(self) -> None:
        for name in ("linger", "max_linger", "drain_timeout", "commit_timeout", "hold_seconds"):
            self._require_number(name, (float, int), 0)
        if self.max_clock_lead != math.inf:
            self._require_number("max_clock_lead", (float, int), 0)
        for name in ("history_hours", "hold_bytes", "wait_replicas"):
            self._require_number(name, (int,), 0)
        for name in ("max_pending", "max_pending_bytes", "max_members", "max_destinations"):
            self._require_number(name, (int,), 1)
        self._require_number("max_message_bytes", (int,), SHORTEST_MESSAGE_LIMIT)
        if not self.commit_timeout:
            raise InvalidArgumentError("commit_timeout must be more than 0 seconds")

        if not isinstance(self.spool, str | os.PathLike | None):
            raise InvalidArgumentError(f"spool must be a path, not {type(self.spool).__name__}")
        if self.redact is not None and not callable(self.redact):
            raise InvalidArgumentError("redact must be a function that takes a message, or None")
        if self.template is not None and not callable(self.template):
            raise InvalidArgumentError("template must be a function that takes a message, or None")
        if not callable(self.clock):
            raise InvalidArgumentError("clock must be a function that returns seconds")

    def _require_number(self, name: str, kinds: tuple[type, ...], least: int) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not least <= value < math.inf:
            number = "a number" if float in kinds else "a whole number"
            raise InvalidArgumentError(
                f"{name} must be {number} of at least {least}, not {value!r}"
            )
