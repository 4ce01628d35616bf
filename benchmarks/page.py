"""What a page of a thousand rows costs the browser, and its server, while all of them change.

The page is open in a real Chromium. A thousand messages are logged anew every half second, and the
page is sent all of them as often. No time is printed before the page shows what was logged. A task
of the browser that takes more than 50 ms is one that a person may notice.
"""

import argparse
import asyncio
import shutil
import time

from playwright.async_api import async_playwright
from redis import Redis

import logcommon
from _support import add_server_options, describe_run, server_url
from logcommon.dashboard import feeds
from logcommon.dashboard.server import serving
from logcommon.dashboard.views import PARTS

ROWS = 1_000
INTERVAL = 0.5

OBSERVE = """
window.tasks = [];
new PerformanceObserver((list) => {
  window.tasks.push(...list.getEntries().map((each) => each.duration));
}).observe({ entryTypes: ["longtask"] });
"""
TRANSFERRED = """performance.getEntriesByType("resource")
  .filter((each) => !each.name.includes("/api/"))
  .reduce((sum, each) => sum + each.transferSize, 0)"""


async def log_all(log: logcommon.CommonLog, rounds: int) -> None:
    """Log every message once, and some more often, so that counts and order change."""
    for number in range(ROWS):
        for _ in range(1 + (number * 7 + rounds) % 3):
            log.log_common_nowait("shop", f"message {'x' * (number % 60)} of kind {number:04}")
    await log.flush()


async def measure(url: str, seconds: float) -> None:
    """Print what was measured."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("there is no chromium")
    faster = {name: part._replace(interval=INTERVAL) for name, part in PARTS.items()}
    setattr(feeds, "PARTS", faster)  # noqa: B010  # mypy knows it as another module's

    async with (
        logcommon.connect(url) as log,
        serving(log, "127.0.0.1", 0) as address,
        async_playwright() as playwright,
    ):
        await log_all(log, 0)
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1400, "height": 900})
        await page.goto(f"{address}?rows={ROWS}")
        await page.locator(".common tbody tr").nth(ROWS - 1).wait_for()
        transferred = await page.evaluate(TRANSFERRED)
        await page.evaluate(OBSERVE)

        rounds, began, cpu = 0, time.monotonic(), time.process_time()
        while time.monotonic() - began < seconds:
            rounds += 1
            await log_all(log, rounds)
            await asyncio.sleep(INTERVAL)
        cpu = time.process_time() - cpu
        took = time.monotonic() - began
        calls = log.stats.calls
        await page.wait_for_function(
            "calls => document.querySelector('.common .heading p').innerText.includes(calls)",
            arg=f"{calls:,} calls",
        )
        tasks = sorted(await page.evaluate("window.tasks"))
        await browser.close()

    print(f"{ROWS:,} rows, all changed {rounds} times in {took:.0f} s, {calls:,} calls shown")
    print(f"transferred on first load, uncompressed: {transferred / 1000:.0f} kB")
    print(f"tasks of the browser of more than 50 ms: {len(tasks)}")
    print(f"longest task: {f'{tasks[-1]:.0f} ms' if tasks else 'less than 50 ms'}")
    print(f"CPU of this process, logging included: {cpu / took:.0%} of a core")


def main() -> None:
    """Run on a server of its own, or on the one that was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    add_server_options(parser)
    options = parser.parse_args()
    with server_url(options.url, options.cpus) as url, Redis.from_url(url) as admin:
        print(f"{describe_run(admin, 'redis')} ({options.cpus})")
        asyncio.run(measure(url, options.seconds))


if __name__ == "__main__":
    main()
