"""What can be set on a client, with its defaults and limits. Pure."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Clock

DEFAULT_HISTORY_HOURS = 24

DEFAULT_CLOCK_LEAD = 3600.0
"""Seconds by which an hour may begin after the server's time."""

SHORTEST_MESSAGE_LIMIT = 16
"""Bytes below which a cut message would say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one client, checked.

    Raises:
        InvalidArgumentError: A setting is out of its range.

    """

    linger: float = 0.2
    """Seconds between the starts of two commits that nobody waits for; the first is sent at once.
    In that time, calls with the same message become one command."""

    drain_timeout: float = 5.0
    """Seconds that closing may take to write what is pending."""

    commit_timeout: float = 5.0
    """Seconds that one commit may take, connecting included, before it is tried again."""

    history_hours: int = DEFAULT_HISTORY_HOURS
    """How many hours before `:last` are kept, each in a key of its own that expires; 0 for just
    the book's two."""

    max_clock_lead: float = DEFAULT_CLOCK_LEAD
    """Seconds by which an entry's hour may begin after the server's time. An entry of a later hour
    is counted in the server's current one; `math.inf` trusts every clock."""

    max_pending: int = 10_000
    """Distinct messages that may wait to be written; a commit under way holds as many again."""

    max_pending_bytes: int = 16 * 1024 * 1024
    """Bytes of memory that distinct messages may take while they wait to be written, and the recent
    entries beside them as many again. A commit under way holds as much once more."""

    max_members: int = 10_000
    """Distinct messages in Redis per destination and hour. Each producer stops at the limit as it
    last read it, so several that reach it together may pass it by what they had under way."""

    max_message_bytes: int = 1024
    """UTF-8 bytes of a message; a longer one is cut between characters and marked with `…`."""

    max_destinations: int = 1_000
    """Destinations of one client; calls to further ones are counted in `<other>`."""

    hold_seconds: float = 10.0
    """Seconds for which a batch is held after Redis has acknowledged it. If a failover loses it in
    that time, it is written again."""

    hold_bytes: int = 16 * 1024 * 1024
    """Bytes of memory that held batches may take, estimated as each message's characters and 120
    bytes, and 140 for an entry of the recent log; the oldest are let go first."""

    wait_replicas: int = 0
    """Replicas that must have acknowledged a commit before its calls are settled."""

    spool: Path | None = None
    """A file that keeps entries until Redis has them, so that they outlive this process."""

    redact: Callable[[str], str] | None = None
    """Called with each message before anything is kept of it; what it returns is logged instead.
    `logcommon.redact_secrets` is a ready one. Where it raises, a mark is logged in its place."""

    clock: Clock = time.time
    """Returns seconds since the epoch. It alone decides in which hour an entry counts."""

    def __post_init__(self) -> None:
        for name in ("linger", "drain_timeout", "commit_timeout", "hold_seconds"):
            self._require_number(name, float | int, 0)
        if self.max_clock_lead != math.inf:
            self._require_number("max_clock_lead", float | int, 0)
        for name in ("history_hours", "hold_bytes", "wait_replicas"):
            self._require_number(name, int, 0)
        for name in ("max_pending", "max_pending_bytes", "max_members", "max_destinations"):
            self._require_number(name, int, 1)
        self._require_number("max_message_bytes", int, SHORTEST_MESSAGE_LIMIT)
        if not self.commit_timeout:
            raise InvalidArgumentError("commit_timeout must be more than 0 seconds")
        if self.redact is not None and not callable(self.redact):
            raise InvalidArgumentError("redact must be a function of a message, or None")
        if not callable(self.clock):
            raise InvalidArgumentError("clock must be a function that returns seconds")

    def _require_number(self, name: str, kind: object, least: int) -> None:
        value = getattr(self, name)
        number = "a whole number" if kind is int else "a number"
        if not isinstance(value, kind) or not least <= value < math.inf:  # type: ignore[arg-type]
            raise InvalidArgumentError(
                f"{name} must be {number} of at least {least}, not {value!r}"
            )
