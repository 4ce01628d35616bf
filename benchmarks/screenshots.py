"""Makes the pictures of the page in docs/images, from a day of the demo's traffic.

Needs Chromium, and Pillow to make the files small: `pip install pillow`.
"""

import argparse
import asyncio
import math
import shutil
import time
from pathlib import Path
from random import Random
from typing import Literal

from playwright.async_api import Browser, async_playwright

import logcommon
from _support import add_server_options, server_url
from logcommon.cli.shop import NAME, visit
from logcommon.dashboard.server import serving

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZES = {"wide": (1360, 860), "narrow": (400, 860)}
SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
HOURS = 24
MOST_COLOURS = 200

SHIFT = time.time() // 3600 * 3600 + 40 * 60 - time.time()
"""Seconds by which the clock of the pictures is ahead: in them, an hour is two thirds over."""


def clock() -> float:
    """Return the time in the pictures."""
    return time.time() + SHIFT


async def fill(url: str) -> None:
    """Log a day of visits, with two deploys; after the second a cache is down."""
    dice, now = Random(7), clock()  # noqa: S311
    at = now
    async with logcommon.connect(
        url, clock=lambda: at, template=logcommon.template, history_hours=HOURS
    ) as log:
        this_hour = now // 3600 * 3600
        down_from = max(this_hour, now - 20 * 60)
        for age in range(HOURS - 1, -1, -1):
            start = this_hour - age * 3600
            for minute in range(60):
                at = start + 60 * minute + dice.random() * 59
                if at > now:
                    break
                busy = 1 + 0.7 * math.sin((at / 3600 % 24 - 9) / 24 * 2 * math.pi)
                for _ in range(int(40 * busy * dice.uniform(0.8, 1.2))):
                    for event in visit(dice, cache_is_down=at > down_from):
                        log.log_common_nowait(NAME, event.message, event.severity)
            await log.flush()
        for moment, text in ((this_hour - 7 * 3600, "v1.4.1"), (down_from - 60, "v1.4.2")):
            at = moment
            await log.mark(text)
        at = now


async def take(browser: Browser, address: str) -> None:
    """Take each picture, once the page shows everything."""
    for scheme in SCHEMES:
        for size, (width, height) in SIZES.items():
            page = await browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            await page.goto(address)
            for shown in (".common tbody tr", ".changes li", ".recent li", ".activity .bar"):
                await page.locator(shown).first.wait_for()
            await page.screenshot(path=IMAGES / f"page-{size}-{scheme}.png")
            await page.close()


def shrink() -> None:
    """Reduce the pictures to as many colours as they need."""
    from PIL import Image  # type: ignore[import-not-found, unused-ignore]

    for file in sorted(IMAGES.glob("page-*.png")):
        picture = Image.open(file).convert("RGB")
        few = picture.quantize(MOST_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(file, optimize=True)
        print(f"{file.name}: {file.stat().st_size:,} bytes")


async def make(url: str) -> None:
    """Fill the server, and take the pictures."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    await fill(url)
    async with (
        logcommon.connect(url, clock=clock) as log,
        serving(log, "127.0.0.1", 0) as address,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        await take(browser, address)
        await browser.close()
    shrink()


def main() -> None:
    """Run on a server of its own, or on the one that was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_options(parser)
    options = parser.parse_args()
    with server_url(options.url, options.cpus) as url:
        asyncio.run(make(url))


if __name__ == "__main__":
    main()
