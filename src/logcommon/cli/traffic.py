"""A small web shop that exists only in its log: what its visitors cause to be logged. Pure."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple


class Event(NamedTuple):
    """Something that the shop logs."""

    severity: str
    message: str
    is_awaited: bool = False
    """Whether the shop goes on only when it is in the log for good."""


def visit(dice: Random, *, cache_is_down: bool) -> Iterator[Event]:
    """Yield what one visitor causes; each kind of visit is as frequent as in a real shop."""
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
    """Return 1 to `number`, the smaller the more often, as with products and customers."""
    return 1 + int(number * dice.random() ** 4)
