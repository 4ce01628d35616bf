"""Clients of a soak that are out of the ordinary: a clock that is ahead, and copies of a spool."""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self

import logcommon
from _checker import AHEAD, SPOOLED, Counts

MESSAGES = [f"stock of article {number:02d} is low" for number in range(20)]

_LEAD = 24 * 3600
"""Seconds by which a clock is ahead."""

_LONGEST_BURST, _BURST_EVERY, _COPY_EVERY = 50, 0.05, 1.0


class OddClients:
    """Three clients beside a producer's own.

    Two log to one destination, one of them by a clock that is a day ahead, which must not keep the
    other's entries from being counted. The third has a spool, which is copied now and then, and
    each copy is opened while the third goes on.

    Args:
        url: Where to connect.
        spool: The file of the third client.
        chance: Where what is drawn at random comes from.
        settings: Keyword arguments of `logcommon.connect`.

    """

    def __init__(self, url: str, spool: Path, chance: random.Random, **settings: float) -> None:
        self._connect: Callable[..., logcommon.CommonLog] = partial(
            logcommon.connect,
            url,
            **settings,  # type: ignore[arg-type]  # each is of its own type
        )
        self._spool = spool
        self._chance = chance

        self._ahead = self._connect(clock=lambda: time.time() + _LEAD)
        self._honest = self._connect()
        self._spooling = self._connect(spool=spool)
        self._opened = AsyncExitStack()
        self._calls: Counter[logcommon.CommonLog] = Counter()
        self.model: Counts = {(*AHEAD, 0): Counter(), (*SPOOLED, 0): Counter()}
        self.copies = 0

    async def __aenter__(self) -> Self:
        for log in (self._ahead, self._honest, self._spooling):
            await self._opened.enter_async_context(log)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._opened.aclose()

    async def log(self, is_open: Callable[[], bool]) -> None:
        """Log bursts, for as long as the clients are open."""
        while is_open():
            log = self._chance.choice((self._ahead, self._honest, self._spooling))
            name, severity = SPOOLED if log is self._spooling else AHEAD
            burst = self._chance.choices(MESSAGES, k=self._chance.randint(1, _LONGEST_BURST))
            for message in burst:
                log.log_common_nowait(name, message, severity)
            self._calls[log] += len(burst)
            self.model[name, severity, 0].update(burst)
            await asyncio.sleep(self._chance.expovariate(1 / _BURST_EVERY))

    async def copy(self, is_open: Callable[[], bool]) -> None:
        """Copy the spool and write what is in the copy, again and again."""
        while is_open():
            await asyncio.sleep(self._chance.expovariate(1 / _COPY_EVERY))
            twin = self._spool.with_name(f"{self._spool.name}.{self.copies}")
            shutil.copy(self._spool, twin)
            async with self._connect(spool=twin) as log:
                await log.flush()
            self.copies += 1

    def report(self) -> dict[str, Any]:
        """Return the calls and the accounts of all three."""
        return {
            "odd": [
                [self._calls[log], asdict(log.stats)]
                for log in (self._ahead, self._honest, self._spooling)
            ],
            "copies": self.copies,
        }
