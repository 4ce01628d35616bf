"""Nanoseconds a call: `log_common_nowait`, our integrations, and what they are compared with.

Everything is called in one process, one after the other, round by round, so that noise hits all
alike: what counts are the ratios within a run. What is called writes in the background meanwhile,
as it would in a service, and no time is taken before every call is known to have arrived.
"""

import argparse
import gc
import sys
import time
from statistics import median
from typing import TypeAlias

from redis import Redis

import _callers
from _support import add_server_options, describe_run, server_url

BASELINE, NOWAIT = "deque.append, time.time()", "log_common_nowait"
NULL, HANDLER, QUEUE = "NullHandler", "CommonLogHandler", "QueueHandler"

Times: TypeAlias = dict[str, list[float]]
Group: TypeAlias = dict[str, tuple[_callers.Caller, int]]

GROUPS: dict[str, Group] = {
    "function": {
        BASELINE: (_callers.baseline, 100_000),
        NOWAIT: (_callers.nowait, 100_000),
    },
    "logging": {
        NULL: (_callers.null_handler, 20_000),
        HANDLER: (_callers.handler, 20_000),
        QUEUE: (_callers.queue_handler, 20_000),
    },
    "loguru": {
        "a sink that does nothing": (_callers.loguru_plain, 5_000),
        "enqueue=True": (_callers.loguru_enqueue, 5_000),
        "CommonLogSink": (_callers.loguru_sink, 5_000),
    },
    "structlog": {
        "JSONRenderer": (_callers.structlog_plain, 20_000),
        "and CommonLogProcessor": (_callers.structlog_processor, 20_000),
    },
    "OpenTelemetry": {
        "BatchLogRecordProcessor": (_callers.otel_batch, 5_000),
        "and CommonLogExporter": (_callers.otel_exporter, 5_000),
    },
}
"""What is called, and how often: few calls of what is slow, to keep a run short."""

WARM_UP = 2_000
MOST_OF_BASELINE = 2.1
MOST_OF_QUEUE = 1 / 3


def measure(caller: _callers.Caller, calls: int, url: str) -> float:
    """Return the nanoseconds that a call takes, once all are known to have arrived."""
    with caller(url, WARM_UP + calls) as call:
        call(WARM_UP)
        gc.collect()

        begin = time.perf_counter()
        call(calls)
        seconds = time.perf_counter() - begin
    return seconds / calls * 1e9


def measure_all(rounds: int, share: int, url: str) -> Times:
    """Return the times of each caller, one for each round."""
    times: Times = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr)
        for group in GROUPS.values():
            for name, (caller, calls) in group.items():
                times.setdefault(name, []).append(measure(caller, calls // share, url))
    return times


def print_results(times: Times) -> None:
    """Print a table for each kind of call, and what became of the targets."""
    for kind, group in GROUPS.items():
        first = next(iter(group))
        print(f"\n{kind:25} {'ns a call':>10} {'ratio':>6} {'added':>8}")
        for name in group:
            added = f"{_added(times, name, first):8,.0f}" if name != first else ""
            ratio = _ratio(times, name, BASELINE)
            print(f"{name:25} {median(times[name]):10,.0f} {ratio:6.1f} {added}".rstrip())

    print(f"\nratio: to '{BASELINE}'; added: to the first of the table; within each round\n")
    ratio = _ratio(times, NOWAIT, BASELINE)
    print(f"{NOWAIT} = {ratio:.2f} times {BASELINE}; {_verdict(ratio, MOST_OF_BASELINE)}")
    share = _added(times, HANDLER, NULL) / _added(times, QUEUE, NULL)
    print(f"{HANDLER} adds {share:.2f} of what {QUEUE} adds; {_verdict(share, MOST_OF_QUEUE)}")


# Neighbours come and go from round to round, so what is compared is of one round each time.


def _ratio(times: Times, name: str, other: str) -> float:
    return median(x / y for x, y in zip(times[name], times[other], strict=True))


def _added(times: Times, name: str, other: str) -> float:
    return median(x - y for x, y in zip(times[name], times[other], strict=True))


def _verdict(found: float, most: float) -> str:
    return f"target at most {most:.2f}: {'reached' if found <= most else 'MISSED'}"


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="three rounds, of a fifth of the calls"
    )
    parser.add_argument("--rounds", type=int, default=15, help="take the median of so many")
    add_server_options(parser)
    options = parser.parse_args()

    rounds, share = (3, 5) if options.quick else (options.rounds, 1)
    with server_url(options.url, options.cpus) as url, Redis.from_url(url) as admin:
        packages = ("redis", "loguru", "structlog", "opentelemetry-sdk")
        print(f"{describe_run(admin, *packages)} ({options.cpus})")
        times = measure_all(rounds, share, url)
    print_results(times)


if __name__ == "__main__":
    main()
