"""The shop of the demo: some hundred visitors at once, and a clock that turns an hour."""

import time
from random import Random

import anyio

from logcommon.cli.hours import HOUR
from logcommon.cli.traffic import visit
from logcommon.client import CommonLog

NAME = "demo-shop"
"""The service that the shop logs as."""

_LONGEST_PAUSE = 0.03
"""Seconds that a visitor looks at a page, at most."""


class ShopClock:
    """An hour behind until it is turned; then right."""

    def __init__(self) -> None:
        self._behind = HOUR.total_seconds()

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return time.time() - self._behind

    def turn(self) -> None:
        """Let the next hour begin."""
        self._behind = 0.0


class Shop:
    """Logs what its visitors cause. At half time the hour turns, and a cache goes down."""

    def __init__(self, log: CommonLog, clock: ShopClock, seconds: float, visitors: int) -> None:
        self._log = log
        self._clock = clock
        self._seconds = seconds
        self._opened_at = time.perf_counter()
        self._is_closed = False
        self.hour_has_turned: bool = False
        self.visitors = visitors
        self.calls: int = 0

    @property
    def share_done(self) -> float:
        """How much of its time has passed, from 0 to 1."""
        return min(1.0, (time.perf_counter() - self._opened_at) / self._seconds)

    async def open(self) -> None:
        """Log until the time is over."""
        self._opened_at = time.perf_counter()
        async with anyio.create_task_group() as group:
            for number in range(self.visitors):
                group.start_soon(self._visitor, Random(number))  # noqa: S311
            await anyio.sleep(self._seconds / 2)
            self._clock.turn()
            self.hour_has_turned = True
            await anyio.sleep(self._seconds / 2)
            self._is_closed = True

    async def _visitor(self, dice: Random) -> None:
        while not self._is_closed:
            await anyio.sleep(dice.uniform(0, _LONGEST_PAUSE))
            for severity, message, is_awaited in visit(dice, cache_is_down=self.hour_has_turned):
                self.calls += 1
                if is_awaited:
                    await self._log.log_common(NAME, message, severity)
                else:
                    self._log.log_common_nowait(NAME, message, severity)
