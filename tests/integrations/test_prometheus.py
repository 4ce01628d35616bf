"""The collector for Prometheus."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from redis.asyncio import Redis

import logcommon
from logcommon.integrations import prometheus
from logcommon.integrations.prometheus import CommonLogCollector
from logcommon.stats import Stats
from support.clock import HandClock
from support.until import until


def registry_of(log: logcommon.CommonLog) -> CollectorRegistry:
    """Return a registry like the default one, with a collector of the client."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(CommonLogCollector(log))
    return registry


def shown_fields() -> Iterator[str]:
    """Yield the fields of Stats that the collector's table names."""
    for metric in prometheus._METRICS:
        yield from metric.causes.values() if metric.causes else [metric.name]


def test_every_field_is_shown_once() -> None:
    """No number of `Stats` is missing, and none is shown twice; `last_error` is a text."""
    fields = {field.name for field in dataclasses.fields(Stats)}
    shown = list(shown_fields())
    assert sorted(shown) == sorted(fields - {"last_error"} | {"pending"})


async def test_what_became_of_the_calls(valkey_url: str, valkey: Redis, clock: HandClock) -> None:
    """After calls that are counted, counted as other, late or dropped, each metric is exact."""
    await valkey.set("common:broken:info", "of another type")
    async with logcommon.connect(
        valkey_url, clock=clock, max_members=2, history_hours=1, drain_timeout=0
    ) as log:
        registry = registry_of(log)

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"logcommon_{name}", labels)

        assert value("last_commit_age_seconds") is None
        for message in "aabc":
            log.log_common_nowait("api", message)
        await log.flush()
        with pytest.raises(logcommon.NotWrittenError):
            await log.log_common("broken", "m")
        await log.log_recent("api", "seen")
        clock.turn(2)
        await log.log_common("api", "a")
        for hours in (-1, -8):  # between `:last` and now; older than what is kept
            clock.turn(hours)
            log.log_common_nowait("api", "a")
        await log.flush()
        age = value("last_commit_age_seconds")
        assert (value("calls_total"), value("counted_total")) == (8, 5)
        assert (value("other_total"), value("late_total")) == (1, 1)
        assert value("recent_calls_total") == 1
        assert age is not None
        assert 0 <= age <= (log.stats.last_commit_age or 0)
        assert value("commits_total") == log.stats.commits > 0
        assert value("commands_total") == log.stats.commands > 0
        assert value("connects_total") == 1
        await valkey.config_set("maxmemory", "1")
        try:
            log.log_common_nowait("api", "b")
            await until(lambda: (value("retries_total", cause="refusal") or 0) > 0)
        finally:
            await valkey.config_set("maxmemory", "0")
        assert value("pending") == 1
        log.log_common_nowait("api", "b")
    dropped = {cause: value("dropped_total", cause=cause) for cause in ("too_late", "refused")}
    assert dropped == {"too_late": 1, "refused": 1}
    log.log_common_nowait("api", "b")
    assert value("dropped_total", cause="closed") == 1
    assert value("dropped_total", cause="unwritten") == log.stats.dropped_unwritten
    assert value("pending") == 0


async def test_each_sample_is_its_field(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a different number in each field, no two of them are mixed up."""
    names = [field.name for field in dataclasses.fields(Stats) if field.name != "last_error"]
    stats = Stats(**{name: 10**place for place, name in enumerate(names)}, last_error="secret")
    monkeypatch.setattr(logcommon.CommonLog, "stats", stats)
    registry = registry_of(logcommon.connect(valkey_url))
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    expected: dict[tuple[str, ...], float] = {
        (f"logcommon_{name}_total",): getattr(stats, name) for name in names
    }
    for metric, fields in {
        "dropped": {
            cause: f"dropped_{cause}"
            for cause in ("too_late", "refused", "failed", "lost", "unwritten", "closed")
        },
        "retries": {
            "abort": "aborts",
            "lost_connection": "lost_connections",
            "timeout": "timeouts",
            "refusal": "refusals",
        },
    }.items():
        for cause, field in fields.items():
            value = expected.pop((f"logcommon_{field}_total",))
            expected[f"logcommon_{metric}_total", cause] = value
    expected["logcommon_last_commit_age_seconds",] = expected.pop(
        ("logcommon_last_commit_age_total",)
    )
    expected["logcommon_pending",] = expected.pop(("logcommon_pending_total",))

    assert samples == expected


async def test_both_formats_can_be_read(valkey_url: str) -> None:
    """What is scraped is what the parsers of Prometheus take, with types, units and help."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api", "m")
        registry = registry_of(log)
        text = generate_latest(registry).decode()
        openmetrics = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    assert "# TYPE logcommon_calls_total counter\n" in text
    assert "logcommon_calls_total 1.0\n" in text
    assert 'logcommon_dropped_total{cause="closed"} 0.0\n' in text
    families = {family.name: family for family in parse_openmetrics(openmetrics)}  # type: ignore[no-untyped-call]

    assert families["logcommon_calls"].type == "counter"
    assert families["logcommon_pending"].type == "gauge"
    assert families["logcommon_last_commit_age_seconds"].unit == "seconds"
    assert all(family.documentation for family in families.values())
    assert len(list(parse_text(text))) == len(families) == len(prometheus._METRICS)


async def test_the_last_error_is_not_shown(valkey_url: str) -> None:
    """A text is no metric: it would make a series of each error."""
    async with logcommon.connect("redis://127.0.0.1:1", drain_timeout=0) as log:
        log.log_common_nowait("api", "m")
        await until(lambda: log.stats.last_error is not None)
        assert "Error" not in generate_latest(registry_of(log)).decode()


def test_the_root_does_not_bring_it() -> None:
    """`import logcommon` imports neither the integrations nor their packages."""
    program = "import sys, logcommon; print([it for it in sys.modules if 'prometheus' in it])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n"


async def test_repr() -> None:
    """It shows the client, without its credentials."""
    shown = repr(CommonLogCollector(logcommon.connect("redis://user:secret@localhost:6379/0")))
    assert shown.startswith("<CommonLogCollector log=<")
    assert "secret" not in shown
