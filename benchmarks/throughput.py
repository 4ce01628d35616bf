"""How many messages a second: the book's listing, pipelines and logcommon, side by side.

Peers log to one server, one after the other, round by round, so that noise hits all alike: what
counts are the ratios within a run. No rate is taken before the totals in Redis are exact.
"""

import argparse
import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from statistics import median
from typing import TypeAlias

from redis import Redis

import logcommon
from _peers import awaited, listing_async, listing_sync, nowait, pipeline
from _support import add_server_options, describe_run, make_messages, server_url, verify

FEW, MANY, ALL = "50 distinct", "10,000 distinct", "all distinct"
DISTINCT = {FEW: 50, MANY: 10_000, ALL: sys.maxsize}
SYNC, ASYNC, PIPELINE = "listing, sync", "listing, async", "pipeline of 1,000 calls"
AWAITED, NOWAIT = "log_common, 1,000 tasks", "log_common_nowait"
TEMPLATES = "log_common_nowait, templ."

Log: TypeAlias = Callable[[str, list[str]], Coroutine[None, None, float]]
Case: TypeAlias = tuple[str, str, int]  # traffic, peer, calls
Measured: TypeAlias = tuple[float, float]  # calls a second, commands per 1,000 calls

PEERS: dict[str, tuple[Log, tuple[int, int, int]]] = {
    SYNC: (listing_sync, (1_000, 1_000, 1_000)),
    ASYNC: (partial(listing_async, 1), (800, 800, 800)),
    "listing, async, 50 tasks": (partial(listing_async, 50), (1_000, 1_000, 1_000)),
    PIPELINE: (pipeline, (10_000, 20_000, 20_000)),
    "log_common, 1 task": (partial(awaited, 1), (1_000, 1_000, 1_000)),
    "log_common, 10 tasks": (partial(awaited, 10), (4_000, 4_000, 4_000)),
    "log_common, 100 tasks": (partial(awaited, 100), (20_000, 20_000, 10_000)),
    AWAITED: (partial(awaited, 1_000), (50_000, 20_000, 20_000)),
    NOWAIT: (nowait, (600_000, 200_000, 50_000)),
    TEMPLATES: (partial(nowait, template=logcommon.template), (600_000, 200_000, 50_000)),
    "log_common, 1 task, spool": (partial(awaited, 1, spool=True), (200, 200, 200)),
    "log_common, 1,000, spool": (partial(awaited, 1_000, spool=True), (50_000, 20_000, 20_000)),
    "log_common_nowait, spool": (partial(nowait, spool=True), (600_000, 200_000, 50_000)),
}
"""How to log, and how many calls for each of `DISTINCT`: few of slow peers, to keep a run short,
and then never all of the 10,000 messages."""

TARGETS = (
    (FEW, NOWAIT, 600, SYNC),
    (FEW, AWAITED, 80, ASYNC),
    (ALL, NOWAIT, 3, PIPELINE),
    (FEW, TEMPLATES, 0.9, NOWAIT),
    (ALL, TEMPLATES, 0.6, NOWAIT),
)
"""With which traffic a peer should be at least how many times as fast as another."""


def measure(case: Case, url: str, admin: Redis) -> Measured:
    """Log to an emptied server, and give the rate once the totals are found exact."""
    traffic, peer, calls = case
    print(f"{traffic}: {peer} …", file=sys.stderr)
    messages = make_messages(calls, DISTINCT[traffic])
    admin.flushall()
    admin.config_resetstat()
    gc.collect()

    seconds = asyncio.run(PEERS[peer][0](url, messages))
    commands = admin.info("stats")["total_commands_processed"]
    counted = list(map(logcommon.template, messages)) if peer == TEMPLATES else messages
    verify(admin, counted)  # raises, so a wrong total ends the run with no rate printed
    return calls / seconds, 1_000 * commands / calls


def print_results(cases: list[Case], medians: list[Measured]) -> None:
    """Print a table for each kind of traffic, and what became of the targets."""
    rates = {case[:2]: rate for case, (rate, _) in zip(cases, medians, strict=True)}
    for (traffic, peer, calls), (rate, commands) in zip(cases, medians, strict=True):
        if peer == SYNC:
            print(f"\n{traffic:25} {'calls':>9} {'calls/s':>10} {'ratio':>6} {'commands':>9}")
        ratio = rate / rates[traffic, SYNC]
        print(f"{peer:25} {calls:9,} {rate:10,.0f} {ratio:6.1f} {commands:9,.1f}")

    print(f"\nratio: to '{SYNC}'; commands: processed by the server per 1,000 calls\n")
    for traffic, peer, target, other in TARGETS:
        ratio = rates[traffic, peer] / rates[traffic, other]
        verdict = "reached" if ratio >= target else "MISSED"
        print(f"{traffic}: {peer} = {ratio:.2f} times {other}; target {target}: {verdict}")


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, of half the calls")
    parser.add_argument("--rounds", type=int, default=3, help="take the median of so many")
    add_server_options(parser)
    options = parser.parse_args()

    rounds, share = (1, 2) if options.quick else (options.rounds, 1)
    cases = [
        (traffic, peer, calls[column] // share)
        for column, traffic in enumerate(DISTINCT)
        for peer, (_, calls) in PEERS.items()
    ]
    with server_url(options.url, options.cpus) as url, Redis.from_url(url) as admin:
        print(f"{describe_run(admin, 'redis')} ({options.cpus})")
        found = [measure(case, url, admin) for case in cases * rounds]

    by_case = (zip(*found[position :: len(cases)], strict=True) for position in range(len(cases)))
    print_results(cases, [(median(rates), median(commands)) for rates, commands in by_case])


if __name__ == "__main__":
    main()
