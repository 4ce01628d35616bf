"""One producer of a soak: logs by a clock of its own, and keeps a model of every accepted call.

Run as `python _producer.py ORDERS`, a JSON object of `Orders`. The model goes to a file, a JSON
array `[name, severity, hour, {message: count}]` a line; the report, a JSON object, to stdout.
"""

import asyncio
import contextlib
import json
import math
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import logcommon
from _checker import Counts
from _odd import OddClients

DESTINATIONS = (("api", "info"), ("api", "error"), ("worker", "info"))
MESSAGES = [f"payment declined for order {number:04d}" for number in range(40)]

HOUR_SECONDS = 1.0
"""How long an hour of a producer's clock takes."""

SKEW_HOURS = 6
"""How far a producer's clock may be from the right one, either way."""

DRAIN_TIMEOUT = 30.0
"""How long a close may take: every entry is to be written, whatever happens to the connection."""

_COMMIT_TIMEOUT = 0.5
_WAITING_TASKS = 4
_IMPATIENT = 0.2
"""Of the calls that wait, those with a deadline that may pass first."""

_LONGEST_DEADLINE = 0.02
_INTERRUPTED = 0.3
"""Of the bursts, those that a time limit may interrupt."""

_LONGEST_TIME_LIMIT = 0.0005
_LONGEST_BURST, _BURST_EVERY, _CALL_EVERY, _LAG_EVERY = 400, 0.01, 0.02, 0.005
_LONGEST_SESSION = 6.0
_STATUS = Path("/proc/self/status")
_MODEL_GROUPS = 50  # so that a model takes no more memory however long the soak is


@dataclass(frozen=True, slots=True)
class Orders:
    """What a producer is told."""

    url: str
    model: str
    seed: int
    seconds: float
    began: float
    """By the right clock, seconds since the epoch: the same for all producers."""
    history_hours: int


class Spread:
    """Times, to within two per cent, in as much memory however many there are."""

    _STEP, _LEAST = math.log(1.02), 1e-6

    def __init__(self, slots: Mapping[str, int] | None = None, longest: float = 0) -> None:
        self.slots = Counter({int(slot): number for slot, number in (slots or {}).items()})
        self.longest = longest

    def add(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self.slots[round(math.log(max(seconds, self._LEAST)) / self._STEP)] += 1

    def merge(self, other: "Spread") -> None:
        self.longest = max(self.longest, other.longest)
        self.slots.update(other.slots)

    def percentile(self, share: float) -> float:
        """Return the time that `share` of all do not exceed."""
        left = share * self.slots.total()
        for slot in sorted(self.slots):
            left -= self.slots[slot]
            if left <= 0:
                return min(math.exp(slot * self._STEP), self.longest)
        return self.longest


class TimeLimitError(Exception):
    """Raised by a signal handler in the middle of whatever runs, as task queues do."""


class TimeLimit:
    """Raises TimeLimitError by a timer, at most once for each time that it is set."""

    def __init__(self) -> None:
        self.raised = 0
        signal.signal(signal.SIGALRM, self._expire)

    def set(self, seconds: float) -> None:
        """Raise after so long, never for 0."""
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _expire(self, *_: object) -> None:
        self.raised += 1
        raise TimeLimitError


class FastClock:
    """Runs fast and wrong, and stands still between its ticks, so that a model can read it too."""

    def __init__(self, began: float, chance: random.Random) -> None:
        self._began = began
        self._chance = chance
        self._skew = 0.0
        self.set_wrong()

    def __call__(self) -> float:
        return self.now

    @property
    def hour(self) -> int:
        return int(self.now // 3600)

    def set_wrong(self) -> None:
        """Step to another skew, as a clock does that somebody sets."""
        self._skew = self._chance.uniform(-SKEW_HOURS, SKEW_HOURS)
        self.tick()

    def tick(self) -> None:
        hours = (time.time() - self._began) / HOUR_SECONDS + self._skew
        self.now = self._began + 3600 * hours


class Producer:
    """Logs without waiting and with, and closes and opens its client."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._end = time.monotonic() + orders.seconds
        self._chance = random.Random(orders.seed)  # noqa: S311  # not for secrets
        self._clock = FastClock(orders.began, self._chance)

        limits = {
            "commit_timeout": _COMMIT_TIMEOUT,
            "drain_timeout": DRAIN_TIMEOUT,
            "history_hours": orders.history_hours,
        }
        self._log = logcommon.connect(
            orders.url,
            clock=self._clock,
            max_clock_lead=math.inf,
            **limits,  # type: ignore[arg-type]
        )
        spool = Path(orders.model).with_suffix(".spool")
        self._odd = OddClients(orders.url, spool, self._chance, **limits)

        self._open = False
        self._model: Counts = {}
        self._calls = self._sessions = self._deadlines = 0
        self._limit = TimeLimit()
        self._waits, self._lags = Spread(), Spread()
        self._early_memory = 0.0

    async def run(self) -> dict[str, object]:
        """Log until the time is over and all is written; return the report."""
        watches = [asyncio.create_task(self._watch_lag()), asyncio.create_task(self._look_early())]
        while time.monotonic() < self._end:
            await self._session()
        for watch in watches:
            watch.cancel()

        self._model.update(self._odd.model)
        self._save_model()
        return {
            **self._odd.report(),
            "calls": self._calls,
            "stats": asdict(self._log.stats),
            "waits": [self._waits.slots, self._waits.longest],
            "lags": [self._lags.slots, self._lags.longest],
            "reopened": self._sessions - 1,
            "interrupted": self._limit.raised,
            "deadlines": self._deadlines,
            "memory": [self._early_memory, _peak_memory()],
        }

    async def _session(self) -> None:
        """Open the client, log for a while, and close it while calls are pending and waiting."""
        self._sessions += 1
        seconds = min(self._chance.uniform(0, _LONGEST_SESSION), self._end - time.monotonic())
        async with asyncio.TaskGroup() as tasks, self._log, self._odd:
            self._open = True  # a call to a closed client is dropped, and counts in no model
            tasks.create_task(self._log_bursts())
            tasks.create_task(self._odd.log(lambda: self._open))
            tasks.create_task(self._odd.copy(lambda: self._open))
            for _ in range(_WAITING_TASKS):
                tasks.create_task(self._log_and_wait())

            await asyncio.sleep(seconds)
            self._open = False
        self._clock.set_wrong()

    async def _log_bursts(self) -> None:
        while self._open:
            self._clock.tick()
            name, severity = self._chance.choice(DESTINATIONS)
            burst = self._chance.choices(MESSAGES, k=self._chance.randint(1, _LONGEST_BURST))
            accepted = self._log_all(name, severity, burst)
            self._expect(name, severity, *burst[:accepted])
            await asyncio.sleep(self._chance.expovariate(1 / _BURST_EVERY))

    def _log_all(self, name: str, severity: str, messages: Sequence[str]) -> int:
        """Log messages until the end or a time limit; return how many were accepted."""
        before = self._log.stats.calls
        is_limited = self._chance.random() < _INTERRUPTED

        with contextlib.suppress(TimeLimitError):
            self._limit.set(is_limited * self._chance.uniform(1e-6, _LONGEST_TIME_LIMIT))
            for message in messages:
                self._log.log_common_nowait(name, message, severity)
            self._limit.set(0)

        # The call that was interrupted may have been accepted.
        return self._log.stats.calls - before

    async def _log_and_wait(self) -> None:
        while self._open:
            name, severity = self._chance.choice(DESTINATIONS)
            message = self._chance.choice(MESSAGES)
            self._expect(name, severity, message)  # the call is made before anything else runs

            begin = time.perf_counter()
            try:
                async with asyncio.timeout(self._deadline()):
                    await self._log.log_common(name, message, severity)
            except TimeoutError:
                self._deadlines += 1
            else:
                self._waits.add(time.perf_counter() - begin)
            await asyncio.sleep(self._chance.expovariate(1 / _CALL_EVERY))

    def _deadline(self) -> float | None:
        """Return the seconds after which to give up waiting, mostly None."""
        if self._chance.random() >= _IMPATIENT:
            return None
        return self._chance.uniform(0, _LONGEST_DEADLINE)

    def _expect(self, name: str, severity: str, *messages: str) -> None:
        self._calls += len(messages)
        self._model.setdefault((name, severity, self._clock.hour), Counter()).update(messages)
        if len(self._model) > _MODEL_GROUPS:
            self._save_model()

    def _save_model(self) -> None:
        with Path(self._orders.model).open("a") as file:
            for group, messages in self._model.items():
                print(json.dumps([*group, messages]), file=file)
        self._model.clear()

    async def _watch_lag(self) -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(_LAG_EVERY)
            self._lags.add(max(0, time.perf_counter() - begin - _LAG_EVERY))

    async def _look_early(self) -> None:
        await asyncio.sleep(self._orders.seconds / 10)
        self._early_memory = _peak_memory()


def _peak_memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    if _STATUS.exists():  # getrusage would tell what its parent had, where that was more
        return int(_STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes, on macOS


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Producer(Orders(**json.loads(sys.argv[1]))).run())))
