"""How many producer processes one server takes: measured, simulated, and the two compared.

First the cost of a commit and of a distinct message is measured, on the server and in a producer.
A simulation from these costs (SimPy, with the client's own `Pace`) is then checked against real
processes, as many as fit here, and goes on to as many as don't. A measurement counts only if Redis
has exactly the calls.

A server executes one transaction at a time, so it is a queue with one place. A service logs to one
server; several servers share the services, evenly or as popular ones do.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any, NamedTuple

import simpy
from redis import Redis

from _support import COMMON, add_server_options, describe_run, server_url
from logcommon.write.pace import Pace

PRODUCER = Path(__file__).with_name("_scale_producer.py")
LINGER, LONGEST = 0.2, 2.0
DISTINCT = 50
WARM_UP = 20.0
"""Simulated seconds that are not counted: until lingers have adapted."""

SIMULATED = 10.0
"""Simulated seconds that are counted."""


class Costs(NamedTuple):
    """What a commit takes, in seconds of CPU."""

    server_commit: float
    server_message: float
    client_commit: float
    client_message: float

    def service(self, distinct: int) -> float:
        """Return how long a commit of so many distinct messages occupies the server."""
        return self.server_commit + distinct * self.server_message


class Run(NamedTuple):
    """What a real run of some producers has shown."""

    commits: float
    """A second, of all producers together."""
    server: float
    """Of a core, for the server."""
    client: float
    """Seconds of CPU for each commit, logging included."""


def run_producers(
    url: str, admin: Redis, producers: int, distinct: int, seconds: float, linger: float
) -> Run:
    """Run real producers; raise unless Redis has exactly their calls."""
    admin.flushall()
    arguments = (url, str(distinct), str(seconds), str(linger))
    processes = [
        subprocess.Popen(
            [sys.executable, PRODUCER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(producers)
    ]
    for each in processes:
        assert each.stdout is not None
        each.stdout.readline()
    before = server_cpu(admin)
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    results = [json.loads(each.communicate()[0]) for each in processes]
    used = server_cpu(admin) - before

    rows: Any = admin.zunion([COMMON, f"{COMMON}:last"], withscores=True)
    counted, made = sum(score for _, score in rows), sum(each["calls"] for each in results)
    if counted != made:
        raise SystemExit(f"made {made} calls; Redis has {counted}")
    commits = sum(each["commits"] for each in results)
    client = sum(each["cpu"] for each in results)
    return Run(commits / seconds, used / seconds, client / max(1, commits))


def server_cpu(admin: Redis) -> float:
    """Return the seconds of CPU that the server has used."""
    used: Any = admin.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def measure(url: str, admin: Redis, seconds: float) -> Costs:
    """Return the costs, from commits with few and with many messages."""
    few, many = 5, 505
    small, large = (run_producers(url, admin, 1, each, seconds, 0.02) for each in (few, many))
    server = [run.server / run.commits for run in (small, large)]
    per_message = (server[1] - server[0]) / (many - few)
    client = (large.client - small.client) / (many - few)
    return Costs(server[0] - few * per_message, per_message, small.client - few * client, client)


class Simulation:
    """Producers that commit to one server.

    Args:
        producers: How many there are.
        service: Seconds for which a commit occupies the server.
        is_paced: Whether they adapt their lingers.
        turn: When the hour turns, in simulated seconds; None if it doesn't.
        spread: Seconds over which the first commits of the hour are spread.

    """

    def __init__(
        self,
        producers: int,
        service: float,
        *,
        is_paced: bool = True,
        turn: float | None = None,
        spread: float = 0.0,
    ) -> None:
        self._environment = simpy.Environment()
        self._server = simpy.Resource(self._environment)
        self._service = service
        self._is_paced = is_paced
        self._turn = turn
        self._spread = spread
        self._dice = random.Random(7)  # noqa: S311
        self._busy = 0.0
        self.latencies: list[float] = []
        self.lingers: list[float] = []
        for _ in range(producers):
            self._environment.process(self._producer())
        self._environment.run(WARM_UP + SIMULATED)

    @property
    def commits(self) -> float:
        """Commits a second."""
        return len(self.latencies) / SIMULATED

    @property
    def utilization(self) -> float:
        """The share of the time in which the server is busy."""
        return self._busy / SIMULATED

    @property
    def latency(self) -> float:
        """Seconds that 99 % of the commits take at most."""
        return quantiles(self.latencies, n=100)[98] if len(self.latencies) > 1 else 0.0

    @property
    def linger(self) -> float:
        """Seconds that a producer lingers, on average."""
        return fmean(self.lingers)

    def _producer(self) -> Generator[Any, Any, None]:
        env = self._environment
        pace = Pace(LINGER, LONGEST if self._is_paced else LINGER)
        has_turned = self._turn is None
        yield env.timeout(self._dice.random() * LINGER)
        while True:
            if not has_turned and self._turn is not None and env.now >= self._turn:
                yield env.timeout(self._dice.random() * self._spread)
            began = env.now
            yield from self._commit()
            if not has_turned and self._turn is not None and began >= self._turn:
                has_turned = True
                yield from self._commit()  # another producer has rotated: the first was aborted

            took = env.now - began
            pace.committed(took)
            if env.now >= WARM_UP:
                self.latencies.append(took)
                self.lingers.append(pace.linger)
            yield env.timeout(max(0.0, pace.linger - took))

    def _commit(self) -> Generator[Any, Any, None]:
        with self._server.request() as place:
            yield place
            yield self._environment.timeout(self._service * self._dice.uniform(0.8, 1.2))
            if self._environment.now >= WARM_UP:
                self._busy += self._service


def share_of_busiest(servers: int, services: int, *, is_skewed: bool) -> float:
    """Return the share of producers that the busiest of some servers has.

    Services are spread at random; popular ones have more producers, as Zipf's law has it.
    """
    dice = random.Random(7)  # noqa: S311
    load = [0.0] * servers
    for rank in range(1, services + 1):
        load[dice.randrange(servers)] += 1 / rank if is_skewed else 1.0
    return max(load) / sum(load)


def compare(url: str, admin: Redis, costs: Costs, seconds: float) -> None:
    """Print what was predicted beside what real processes do."""
    before = server_cpu(admin)
    time.sleep(seconds)
    idle = (server_cpu(admin) - before) / seconds
    print(f"\nan idle server takes {idle:.2%} of a core, which is not counted here")
    print(f"{'producers':>9}  {'commits/s':>18}  {'server, of a core':>20}")
    print(f"{'':>9}  {'predicted measured':>18}  {'predicted   measured':>20}")
    for producers in (1, 4, 16):
        simulated = Simulation(producers, costs.service(DISTINCT))
        real = run_producers(url, admin, producers, DISTINCT, seconds, LINGER)
        print(
            f"{producers:>9}  {simulated.commits:>9.1f} {real.commits:>8.1f}"
            f"  {simulated.utilization:>9.2%} {real.server - idle:>10.2%}"
        )


def extrapolate(costs: Costs) -> None:
    """Print where a server reaches its limit, with and without pacing."""
    service = costs.service(DISTINCT)
    print(f"\none server, {DISTINCT} distinct messages a commit, linger {LINGER} to {LONGEST} s")
    print(f"{'producers':>9}  {'fixed linger':>22}  {'paced':>32}")
    print(f"{'':>9}  {'busy':>8} {'p99 ms':>13}  {'busy':>8} {'p99 ms':>13} {'linger':>9}")
    for producers in (10, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000):
        fixed = Simulation(producers, service, is_paced=False)
        paced = Simulation(producers, service)
        print(
            f"{producers:>9,}  {fixed.utilization:>8.0%} {fixed.latency * 1000:>13,.1f}"
            f"  {paced.utilization:>8.0%} {paced.latency * 1000:>13,.1f} {paced.linger:>9.2f}"
        )

    print("\nproducers that the busiest server takes at 70 %, by number of servers")
    one = 0.7 * LINGER / service
    print(f"{'servers':>9}  {'even':>10}  {'popular services':>18}")
    for servers in (1, 3, 10, 30, 100):
        even, skewed = (
            one / share_of_busiest(servers, 1_000, is_skewed=each) for each in (False, True)
        )
        print(f"{servers:>9}  {even:>10,.0f}  {skewed:>18,.0f}")


def storm(costs: Costs) -> None:
    """Print what the turn of an hour does."""
    service = costs.service(DISTINCT)
    producers = int(0.5 * LINGER / service)
    print(f"\nthe hour turns for {producers:,} producers, that keep a server half busy")
    for name, spread in (("at once", 0.0), ("spread over five lingers", 5 * LINGER)):
        turned = Simulation(producers, service, turn=WARM_UP + 1, spread=spread)
        print(f"{name:>26}: the slowest commit takes {max(turned.latencies) * 1000:,.1f} ms")


def main() -> None:
    """Run on a server of its own, or on the one that was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    add_server_options(parser)
    options = parser.parse_args()
    with server_url(options.url, options.cpus) as url, Redis.from_url(url) as admin:
        print(f"{describe_run(admin, 'redis', 'simpy')} ({options.cpus})")
        costs = measure(url, admin, options.seconds)
        print(
            f"server: {costs.server_commit * 1e6:.0f} us a commit, "
            f"{costs.server_message * 1e6:.2f} us a distinct message\n"
            f"client: {costs.client_commit * 1e6:.0f} us a commit, "
            f"{costs.client_message * 1e6:.2f} us a distinct message, calls included"
        )
        compare(url, admin, costs, options.seconds)
    extrapolate(costs)
    storm(costs)


if __name__ == "__main__":
    main()
