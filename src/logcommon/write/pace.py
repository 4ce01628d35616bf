"""How long a writer lingers between two commits: longer while the server is slow. No I/O.

Each producer sees only how long its own commits take. If all of them commit more seldom when that
grows, and so with more in each, a thousand of them can't overrun one server. Nobody has to know
how many there are.
"""

import math
import random
import time
from collections.abc import Callable

from logcommon.model import Clock, Hour, hour_of

_SLOW = 3.0
"""A commit is slow if it takes so many times as long as the fastest one."""

_SHARE = 0.2
"""A commit is slow if it takes this share of the linger: who begins on a server that is overrun
knows of no fast one. A server far away is lingered for up to five round trips then."""

_SLOW_SECONDS = 0.02
"""A commit that takes less is not slow: on a fast server, that is noise of the process itself."""

_GROWTH, _DECAY = 1.5, 0.9
"""By how much a slow commit makes the linger longer, and any other shorter."""

_FORGETTING = 1.001
"""By how much each commit raises the time of the fastest one, as the network may have changed."""

_SPREAD = 5.0
"""Lingers over which producers spread their first commits of an hour, in which the sets rotate."""


class Pace:
    """The linger of one writer, in seconds.

    Args:
        linger: The shortest, and the usual one.
        longest: The longest.
        clock: Says in which hour it is; the server's hour is about the same.
        dice: Returns a random number from 0 to 1.

    """

    def __init__(
        self,
        linger: float,
        longest: float,
        clock: Clock = time.time,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._shortest = linger
        self._longest = max(linger, longest)
        self._clock = clock
        self._dice = dice
        self._fastest = math.inf
        self._hour: Hour = hour_of(clock())
        self.linger: float = linger
        """Seconds between the starts of two commits now."""

    def committed(self, seconds: float) -> None:
        """Learn from how long a commit has taken, with all its attempts."""
        self._fastest = min(seconds, self._fastest * _FORGETTING)
        bound = min(_SLOW * self._fastest, _SHARE * self.linger)
        if seconds > max(_SLOW_SECONDS, bound):
            self.linger = min(self._longest, self.linger * _GROWTH)
        else:
            self.linger = max(self._shortest, self.linger * _DECAY)

    def delay_at_the_hour(self) -> float:
        """Return for how long the first commit of an hour is put off; 0 for any other."""
        hour, self._hour = self._hour, hour_of(self._clock())
        return 0.0 if hour == self._hour else self._dice() * _SPREAD * self.linger
