"""How well changes are found among steady messages: ours, and what is usual, on made-up traffic.

Hundreds of messages of all sizes are counted for a day. The rate of each varies from hour to hour,
and in the hour so far some have changed, twofold to tenfold, up or down. Each method ranks the
messages; how many of the changed ones are at the top is its precision. With a threshold it also
says which have changed: how many of those did not is the number of false alarms.
"""

import argparse
import math
import random
from collections.abc import Callable
from statistics import mean
from typing import NamedTuple, TypeAlias

from logcommon.read.compare import Windows, differences, dispersion_of

MESSAGES, CHANGED, HOURS = 400, 20, 24
VARIATIONS = (0.1, 0.3, 0.6)
FACTORS = (2.0, 10.0)
ALARM = 1.5
"""The factor from which ours raises an alarm."""
ALPHA = 0.001
"""The level at which a test raises one."""


class Traffic(NamedTuple):
    """Counts of each message, and which messages have changed."""

    history: list[list[int]]
    """Of whole hours, the newest last."""
    after: list[int]
    part: float
    """How much of the hour has passed."""
    changed: set[int]


class Ranking(NamedTuple):
    """Each message's rank, the higher the more it has changed, and which are alarms."""

    ranks: list[float]
    alarms: set[int]


Method: TypeAlias = Callable[[Traffic], Ranking]


def poisson(chance: random.Random, rate: float) -> int:
    """Return how many events there are, if `rate` are expected."""
    if rate > 50:
        return max(0, round(chance.gauss(rate, math.sqrt(rate))))
    events, product, limit = 0, chance.random(), math.exp(-rate)
    while product > limit:
        events, product = events + 1, product * chance.random()
    return events


def traffic(chance: random.Random, variation: float, part: float) -> Traffic:
    """Return made-up traffic: rates from 1 to 10,000 an hour that vary by a coefficient."""

    def count(rate: float) -> int:
        return poisson(chance, rate * chance.gammavariate(variation**-2, variation**2))

    rates = [10 ** chance.uniform(0, 4) for _ in range(MESSAGES)]
    history = [[count(rate) for _ in range(HOURS)] for rate in rates]
    changed = set(chance.sample(range(MESSAGES), CHANGED))
    factors = [
        chance.uniform(*FACTORS) ** chance.choice((-1, 1)) if number in changed else 1.0
        for number in range(MESSAGES)
    ]
    after = [count(rate * factor * part) for rate, factor in zip(rates, factors, strict=True)]
    return Traffic(history, after, part, changed)


def by_difference(made: Traffic) -> Ranking:
    """Rank by the difference of the rates; it has no threshold of its own."""
    ranks = [abs(a / made.part - h[-1]) for a, h in zip(made.after, made.history, strict=True)]
    return Ranking(ranks, set())


def by_ratio(made: Traffic) -> Ranking:
    """Rank by the ratio of the rates; twice or half is an alarm."""
    ranks = [
        abs(math.log((a + 0.5) / made.part / (h[-1] + 0.5)))
        for a, h in zip(made.after, made.history, strict=True)
    ]
    return _with_alarms(ranks, math.log(2))


def by_g_test(made: Traffic) -> Ranking:
    """Rank by the G statistic of the message's share in both windows, which ignores exposure."""
    after, before = sum(made.after), sum(history[-1] for history in made.history)
    ranks = []
    for a, history in zip(made.after, made.history, strict=True):
        b = history[-1]
        share = (a + b) / (after + before)
        cells = ((a, after * share), (b, before * share))
        rest = ((after - a, after * (1 - share)), (before - b, before * (1 - share)))
        ranks.append(_g(*cells, *rest))
    return _with_alarms(ranks, 10.83)


def by_poisson(made: Traffic) -> Ranking:
    """Rank by the likelihood ratio of two Poisson rates, with their exposures."""
    ranks = []
    for a, history in zip(made.after, made.history, strict=True):
        rate = (a + history[-1]) / (made.part + 1)
        ranks.append(_g((a, rate * made.part), (history[-1], rate)))
    return _with_alarms(ranks, 10.83)


def by_us(made: Traffic) -> Ranking:
    """Rank as `compare` does, against the last hour."""
    return _ours(made, 1)


def by_us_pooled(made: Traffic) -> Ranking:
    """Rank as `compare` does, against all kept hours."""
    return _ours(made, HOURS)


METHODS: dict[str, Method] = {
    "raw difference": by_difference,
    "ratio": by_ratio,
    "G-test": by_g_test,
    "Poisson ratio test": by_poisson,
    "ours, last hour": by_us,
    "ours, all hours": by_us_pooled,
}


def _ours(made: Traffic, hours: int) -> Ranking:
    after = {str(number): count for number, count in enumerate(made.after)}
    before = {str(number): sum(counts[-hours:]) for number, counts in enumerate(made.history)}
    windows = Windows((HOURS,), tuple(range(HOURS - hours, HOURS)), made.part, float(hours))
    ranks = [0.0] * MESSAGES
    for found in differences(after, before, windows, dispersion_of(made.history)):
        ranks[int(found.message)] = found.bound
    return _with_alarms(ranks, math.log(ALARM))


def _g(*cells: tuple[float, float]) -> float:
    return 2 * sum(seen * math.log(seen / expected) for seen, expected in cells if seen)


def _with_alarms(ranks: list[float], least: float) -> Ranking:
    return Ranking(ranks, {number for number, rank in enumerate(ranks) if rank >= least})


def measure(method: Method, made: Traffic) -> tuple[float, float, float]:
    """Return the precision at the top, the number of false alarms, and the share found."""
    ranking = method(made)
    top = sorted(range(MESSAGES), key=ranking.ranks.__getitem__, reverse=True)[:CHANGED]
    return (
        len(made.changed.intersection(top)) / CHANGED,
        float(len(ranking.alarms - made.changed)),
        len(ranking.alarms & made.changed) / CHANGED,
    )


def main() -> None:
    """Simulate, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50, help="average of so many (default: 50)")
    parser.add_argument("--part", type=float, default=0.5, help="of the hour that has passed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    print(f"{MESSAGES} messages, {CHANGED} changed; {options.part} of the hour has passed")
    for variation in VARIATIONS:
        chance = random.Random(f"{options.seed} {variation}")  # noqa: S311  # no secret
        runs = [traffic(chance, variation, options.part) for _ in range(options.runs)]
        print(f"\nvariation {variation:10} {'precision':>12} {'false alarms':>14} {'found':>8}")
        for name, method in METHODS.items():
            found = [measure(method, made) for made in runs]
            precision, alarms, share = map(mean, zip(*found, strict=True))
            flags = "-" if method is by_difference else f"{alarms:.1f}"
            print(f"{name:20} {precision:12.2f} {flags:>14} {share:8.2f}")


if __name__ == "__main__":
    main()
