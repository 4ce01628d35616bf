"""Counts in Prometheus' format. No I/O."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from logcommon.model import Destination, Summary

_LONGEST_LABEL = 200


def exposition(
    minutes: Mapping[Destination, Mapping[datetime, int]], summary: Summary | None
) -> bytes:
    """Return the calls of each destination, and the counts of the most common messages.

    Args:
        minutes: The calls of each minute of the current hour.
        summary: The messages of the hour that are shown.

    """
    registry = CollectorRegistry()
    registry.register(_Collected(minutes, summary))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(
        self, minutes: Mapping[Destination, Mapping[datetime, int]], summary: Summary | None
    ) -> None:
        self._minutes = minutes
        self._summary = summary

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "logcommon_calls",
            "Calls in the current hour; it begins again at 0 with each hour.",
            labels=["name", "severity"],
        )
        for destination, found in self._minutes.items():
            calls.add_metric(list(destination), sum(found.values()))
        yield calls

        counts = CounterMetricFamily(
            "logcommon_message_count",
            "Counts of the most common messages of the hour; they begin again with each hour.",
            labels=["name", "severity", "message"],
        )
        alarming = GaugeMetricFamily(
            "logcommon_message_at_least",
            "The factor by which the rate of a message went up at least since the hour before.",
            labels=["name", "severity", "message"],
        )
        for each in () if self._summary is None else self._summary.rows:
            labels = [*each.row.destination, each.row.message[:_LONGEST_LABEL]]
            counts.add_metric(labels, each.row.count)
            if each.change is not None and each.change.kind in ("new", "back", "rising"):
                alarming.add_metric(labels, each.change.at_least)
        yield counts
        yield alarming
