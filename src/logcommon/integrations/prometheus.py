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
    """A metric: one field of `Stats`, or several, each with a label `cause`."""

    name: str
    help: str
    causes: dict[str, str] | None = None
    """The field for each cause; None for the one field called `name`."""
    family: type[CounterMetricFamily | GaugeMetricFamily] = CounterMetricFamily
    unit: str = ""

    def samples(self, stats: Stats) -> Iterator[tuple[list[str], float]]:
        """Yield the labels and the value of each sample; none for a field that is None."""
        for cause, field in (self.causes or {"": self.name}).items():
            value = getattr(stats, field)
            if value is not None:
                yield [cause] if cause else [], value


_METRICS = (
    _Metric("calls", "Calls to count a message that were accepted."),
    _Metric("counted", "Calls counted in Redis under their own message."),
    _Metric("other", "Calls counted in Redis as <other>, past a bound."),
    _Metric(
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
    _Metric("in_doubt", "Calls dropped as unwritten that Redis may have counted."),
    _Metric("spooled", "Calls left in the spool when the client was closed."),
    _Metric("recovered", "Calls that an earlier client had left in the spool."),
    _Metric("recent_calls", "Accepted calls for the recent log alone."),
    _Metric("late", "Calls counted in an hour that was over."),
    _Metric("ahead", "Calls counted in the server's hour, as the clock was ahead."),
    _Metric("pending", "Calls waiting to be written, or being written.", family=GaugeMetricFamily),
    _Metric("commits", "Transactions that Redis executed."),
    _Metric(
        "retries",
        "Attempts at a transaction that failed and were made again.",
        {
            "abort": "aborts",
            "lost_connection": "lost_connections",
            "timeout": "timeouts",
            "refusal": "refusals",
        },
    ),
    _Metric("connects", "Connections made for writing."),
    _Metric("commands", "Commands sent for writing."),
    _Metric("lost_commits", "Commits that Redis acknowledged and lost, no longer held."),
    _Metric("replayed_commits", "Commits that Redis acknowledged and lost, written again."),
    _Metric("restarts", "Times that the writer failed and was started again."),
    _Metric(
        "last_commit_age",
        "Time since Redis last acknowledged a commit; absent before the first.",
        family=GaugeMetricFamily,
        unit="seconds",
    ),
)


class CommonLogCollector(Collector):
    """Reads a client's `stats` whenever Prometheus asks, from any thread.

    Each field of `Stats` is a metric named `logcommon_…`, except the text of `last_error`.
    """

    def __init__(self, log: CommonLog) -> None:
        self._log = log

    def __repr__(self) -> str:
        return f"<{type(self).__name__} log={self._log!r}>"

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, all at one moment."""
        stats = self._log.stats

        for metric in _METRICS:
            labels = ["cause"] if metric.causes else None
            name = f"logcommon_{metric.name}"
            family = metric.family(name, metric.help, labels=labels, unit=metric.unit)
            for values, amount in metric.samples(stats):
                family.add_metric(values, amount)
            yield family
