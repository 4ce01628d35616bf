"""What logging each request costs a web application: FastAPI and aiohttp, without us and with.

Four processes serve the same application side by side: one without logging, one whose middleware
does nothing, one with our middleware, and one whose middleware awaits the book's listing. A client
process asks them in turn, a moment each, round by round, so that noise hits all alike: what counts
are the ratios of a round, and of these the median.
Nothing is printed before Redis was found to have every request.
"""

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias, cast

from redis import Redis

from _support import MismatchError, add_server_options, server_url
from _web_client import CONNECTIONS

FRAMEWORKS = {"fastapi": ("fastapi", "uvicorn"), "aiohttp": ("aiohttp",)}
BARE, EMPTY, OURS, LISTING = "bare", "empty", "ours", "listing"
VARIANTS = {
    BARE: "without",
    EMPTY: "an empty middleware",
    OURS: "our middleware",
    LISTING: "the listing, awaited",
}
KEYS = {OURS: "common:ours:info", LISTING: "common:shop:info"}
MESSAGE = b"GET /orders/{order_id} 200"
TARGET = 0.95

_FOLDER = Path(__file__).parent

Result: TypeAlias = dict[str, float]  # requests, seconds, p50, p99


def measure(framework: str, url: str, admin: Redis, rounds: int, seconds: float) -> None:
    """Ask the variants of one framework's application, and print what was found."""
    results: dict[str, list[Result]] = {variant: [] for variant in VARIANTS}
    requests = dict.fromkeys(VARIANTS, 0)
    with ExitStack() as stack:
        client = stack.enter_context(running("_web_client.py"))
        ports = {variant: free_port() for variant in VARIANTS}
        for variant, port in ports.items():
            stack.enter_context(running("_web_server.py", framework, variant, url, str(port)))
        for port in ports.values():
            wait_for(port)

        for number in range(rounds + 1):
            # The first round warms up. Each begins with another variant.
            order = list(VARIANTS)[number % 4 :] + list(VARIANTS)[: number % 4]
            for variant in order:
                print(f"{framework}: round {number}, {VARIANTS[variant]} …", file=sys.stderr)
                result = ask(client, ports[variant], seconds)
                requests[variant] += int(result["requests"])
                if number:
                    results[variant].append(result)

    verify(admin, requests)
    show(framework, results)


def ask(client: "subprocess.Popen[str]", port: int, seconds: float) -> Result:
    """Have the client ask one server."""
    assert client.stdin is not None
    assert client.stdout is not None
    print(port, seconds, file=client.stdin, flush=True)
    return cast("Result", json.loads(client.stdout.readline()))


def verify(admin: Redis, requests: dict[str, int]) -> None:
    """Raise MismatchError unless Redis counts every request that was answered."""
    for variant, key in KEYS.items():
        # With `:last`, so that a run may go on across the turn of an hour.
        counted: Any = admin.zunion([key, f"{key}:last"], withscores=True)
        if dict(counted) != {MESSAGE: requests[variant]}:
            raise MismatchError(f"{requests[variant]} requests of {variant!r}; Redis has {counted}")


def show(framework: str, results: dict[str, list[Result]]) -> None:
    """Print medians over the rounds, and what became of the target."""
    names = ", ".join(f"{name} {version(name)}" for name in FRAMEWORKS[framework])
    print(f"\n{names:32} {'requests/s':>10} {'ratio':>6} {'p50 ms':>7} {'p99 ms':>7}")
    rates = {
        variant: [each["requests"] / each["seconds"] for each in found]
        for variant, found in results.items()
    }
    ratios = {
        variant: median(rate / bare for rate, bare in zip(found, rates[BARE], strict=True))
        for variant, found in rates.items()
    }

    for variant, found in results.items():
        p50, p99 = (1_000 * median(each[name] for each in found) for name in ("p50", "p99"))
        rate = median(rates[variant])
        print(f"{VARIANTS[variant]:32} {rate:10,.0f} {ratios[variant]:6.2f} {p50:7.2f} {p99:7.2f}")

    verdict = "reached" if ratios[OURS] >= TARGET else "MISSED"
    print(f"our middleware: {ratios[OURS]:.1%} of the requests without; target 95%: {verdict}")


@contextmanager
def running(program: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a program of this folder, and end it in the end as an operator would."""
    with subprocess.Popen(
        [sys.executable, _FOLDER / program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return cast("int", listener.getsockname()[1])


def wait_for(port: int, patience: float = 30) -> None:
    """Return once a server listens on a port."""
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def main() -> None:
    """Measure each framework."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="take the median of so many")
    parser.add_argument("--seconds", type=float, default=0.25, help="how long to ask each time")
    add_server_options(parser)
    options = parser.parse_args()

    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {CONNECTIONS} connections, "
        f"{options.rounds} rounds of {options.seconds:g} s"
    )
    with server_url(options.url, options.cpus) as url, Redis.from_url(url) as admin:
        for framework in FRAMEWORKS:
            admin.flushall()
            measure(framework, url, admin, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
