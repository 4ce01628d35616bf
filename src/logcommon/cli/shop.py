"""The shop of the demo: what its visitors log, and a clock that turns an hour."""

import time
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import anyio

from logcommon.client import CommonLog

NAME = "demo-shop"
"""The service that the shop logs as."""

_LONGEST_PAUSE = 0.03
"""Seconds that a visitor spends on a page at most."""


class ShopClock:
    """A clock that is an hour behind until it is turned."""

    def __init__(self) -> None:
        self._behind = 3600.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return time.time() - self._behind

    def turn(self) -> None:
        """Begin the next hour."""
        self._behind = 0.0


class Shop:
    """Logs what its visitors do. Halfway through, the hour turns and a cache goes down."""

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
        """How much of its opening time has passed, from 0 to 1."""
        return min(1.0, (time.perf_counter() - self._opened_at) / self._seconds)

    async def open(self) -> None:
        """Log until the shop closes."""
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


class Event(NamedTuple):
    """One thing that the shop logs."""

    severity: str
    message: str
    is_awaited: bool = False
    """Whether the shop waits until Redis has it."""


def visit(dice: Random, *, cache_is_down: bool) -> Iterator[Event]:
    """Yield what one visit logs; kinds of visits are about as frequent as in a real shop."""
    kinds = (_look, _search, _sign_in, _buy, _trouble)
    (kind,) = dice.choices(kinds, cum_weights=(70, 85, 92, 98, 100))
    if kind is _look and cache_is_down and dice.random() < 0.3:
        yield Event("warning", "cache node 2 does not answer, reading from the database")
    yield from kind(dice)


def _look(dice: Random) -> Iterator[Event]:
    product = _popular(dice, 30)
    yield Event("info", f"GET /products/{product} 200")
    if dice.random() < 0.1:
        yield Event("info", f"cache miss: product {product}")
    else:
        yield Event("info", "product page served from cache")
    if dice.random() < 0.3:
        yield Event("info", "session renewed")


def _search(dice: Random) -> Iterator[Event]:
    words = ("tent", "lamp", "boots", "rope", "stove", "map", "mug", "socks", "compass", "knife")
    yield Event("info", f"search for {words[_popular(dice, len(words)) - 1]!r}")
    if dice.random() < 0.1:
        table = dice.choice(("products", "reviews", "stock"))
        yield Event("warning", f"slow query on {table}: more than {dice.choice((200, 500))} ms")


def _sign_in(dice: Random) -> Iterator[Event]:
    customer = 1000 + _popular(dice, 40)
    if dice.random() < 0.15:
        yield Event("warning", f"login failed: wrong password for customer {customer}")
    yield Event("info", f"login: customer {customer}")


def _buy(dice: Random) -> Iterator[Event]:
    for _ in range(dice.randint(1, 3)):
        yield Event("info", "POST /cart 201")
    yield Event("info", "POST /checkout 200")
    if dice.random() < 0.02:
        reason = dice.choices(("insufficient funds", "card expired", "refused by bank"), (6, 3, 1))
        yield Event("error", f"payment declined: {reason[0]}", is_awaited=True)
    else:
        yield Event("info", "payment accepted")


def _trouble(dice: Random) -> Iterator[Event]:
    yield Event("info", f"GET /{dice.choice(('wp-login.php', '.env', 'favicon.ico'))} 404")
    if dice.random() < 0.02:
        yield Event("error", "shipping rates: no answer after 2000 ms", is_awaited=True)
    if dice.random() < 0.002:
        yield Event("critical", "stock of the warehouse is below zero", is_awaited=True)


def _popular(dice: Random, number: int) -> int:
    """Return 1 to `number`, small numbers more often, as some products are more popular."""
    return 1 + int(number * dice.random() ** 4)
