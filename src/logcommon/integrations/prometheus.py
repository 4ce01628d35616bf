"""A client's `stats` as metrics of Prometheus. Extra `prometheus`.

```python
import asyncio

import logcommon
from logcommon.integrations.prometheus import CommonLogCollector
from prometheus_client import REGISTRY


async def main() -> None:
    async with logcommon.connect("redis://localhost:6379/0") as log:
        REGISTRY.register(CommonLogCollector(log))
        await log.log_common("shop", "opened")


asyncio.run(main())
```
"""

from collections.abc import Iterator
from typing import NamedTuple

from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra
from logcommon.stats import Stats

with require_extra("prometheus-client>=0.22"):
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector


class _Metric(NamedTuple):
    """One metric, and the field of Stats that it shows, or several, each a `cause`."""

    family: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    help: str
    fields: str | dict[str, str]
    unit: str = ""

    def samples(self, stats: Stats) -> Iterator[tuple[list[str], float]]:
        """Yield the label values and the amount of each sample that there is."""
        fields = {"": self.fields} if isinstance(self.fields, str) else self.fields
        for cause, field in fields.items():
            amount = getattr(stats, field)
            if amount is not None:
                yield [cause] if cause else [], amount


_C, _G = CounterMetricFamily, GaugeMetricFamily

_METRICS = (
    _Metric(_C, "calls", "Calls to count a message that were accepted.", "calls"),
    _Metric(_C, "counted", "Calls counted in Redis under their own message.", "counted"),
    _Metric(_C, "other", "Calls counted in Redis as <other>, past a bound.", "other"),
    _Metric(
        _C,
        "dropped",
        "Calls that are not counted and will not be.",
        {
            "too_late": "dropped_too_late",
            "refused": "dropped_refused",
            "failed": "dropped_failed",
            "lost": "dropped_lost",
            "unwritten": "dropped_unwritten",
            "closed": "dropped_closed",
        },
    ),
    _Metric(_C, "in_doubt", "Calls dropped as unwritten that Redis may have counted.", "in_doubt"),
    _Metric(_C, "spooled", "Calls left in the spool when the client was closed.", "spooled"),
    _Metric(_C, "recovered", "Calls that an earlier client had left in the spool.", "recovered"),
    _Metric(_C, "recent_calls", "Accepted calls for the recent log alone.", "recent_calls"),
    _Metric(_C, "late", "Calls counted in an hour that was over.", "late"),
    _Metric(_C, "ahead", "Calls counted in the server's hour, as the clock was ahead.", "ahead"),
    _Metric(_G, "pending", "Calls that wait to be written, or are being written.", "pending"),
    _Metric(_C, "commits", "Transactions that Redis executed.", "commits"),
    _Metric(
        _C,
        "retries",
        "Attempts at a transaction that came to nothing and were made again.",
        {
            "abort": "aborts",
            "lost_connection": "lost_connections",
            "timeout": "timeouts",
            "refusal": "refusals",
        },
    ),
    _Metric(_C, "connects", "Connections made for writing.", "connects"),
    _Metric(_C, "commands", "Commands sent for writing.", "commands"),
    _Metric(
        _C,
        "lost_commits",
        "Commits that Redis had acknowledged and lost, no longer held.",
        "lost_commits",
    ),
    _Metric(
        _C,
        "replayed_commits",
        "Commits that Redis had acknowledged and lost, written again.",
        "replayed_commits",
    ),
    _Metric(_C, "restarts", "Times that the writer failed and was started again.", "restarts"),
    _Metric(
        _G,
        "last_commit_age",
        "Time since Redis last acknowledged a commit; absent before the first.",
        "last_commit_age",
        "seconds",
    ),
)


class CommonLogCollector(Collector):
    """Reads a client's `stats` whenever Prometheus asks, from any thread.

    Each field of `Stats` is a metric named `logcommon_…`, apart from the text of `last_error`.
    """

    def __init__(self, log: CommonLog) -> None:
        self._log = log

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, all as of one moment."""
        stats = self._log.stats
        for metric in _METRICS:
            labels = None if isinstance(metric.fields, str) else ["cause"]
            name = f"logcommon_{metric.name}"
            family = metric.family(name, metric.help, labels=labels, unit=metric.unit)
            for values, amount in metric.samples(stats):
                family.add_metric(values, amount)
            yield family
