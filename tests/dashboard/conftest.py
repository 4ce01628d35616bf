"""The page on a server of its own, and in a browser."""

import os
import shutil
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Browser, async_playwright

import logcommon
from logcommon.dashboard.server import serving


@pytest.fixture
def now() -> float:
    """A time in this hour, of which two thirds are over: what has changed depends on that."""
    return time.time() // 3_600 * 3_600 + 40 * 60


@pytest.fixture
async def log(valkey_url: str, now: float) -> AsyncIterator[logcommon.CommonLog]:
    """A client of the emptied Valkey, whose clock stands still."""
    async with logcommon.connect(valkey_url, template=logcommon.template, clock=lambda: now) as log:
        yield log


@pytest.fixture
async def address(log: logcommon.CommonLog) -> AsyncIterator[str]:
    """The address of the page."""
    async with serving(log, "127.0.0.1", 0) as address:
        yield address


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that knows the address."""
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        yield client


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A real Chromium; CI must have one."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("LOGCOMMON_CI"):
            pytest.fail("there is no chromium, which CI must have")
        pytest.skip("there is no chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        # Debian's chromium has no sandbox for root.
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()
