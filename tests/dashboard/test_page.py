"""The page in a real Chromium: what it shows is what is in Redis, live, and nothing in it acts."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect
from redis.asyncio import Redis

import logcommon
from logcommon.dashboard.server import serving
from support.servers import free_port, valkey_server

expect.set_options(timeout=30_000)
HOSTILE = "<img src=x onerror=alert(1)> <script>alert(2)</script> <ip>"
NETWORK = re.compile("Failed to load resource: net::ERR_(CONNECTION_REFUSED|EMPTY|INCOMPLETE)")


class Opened:
    """A page, and what the browser complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(30_000)
        page.on("console", lambda it: self.complaints.append(it.text) if it.type != "log" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))


@pytest.fixture
async def opened(browser: Browser) -> AsyncIterator[Opened]:
    """A new tab, in which nothing may go wrong."""
    opened = Opened(await browser.new_page(viewport={"width": 1300, "height": 900}))
    yield opened
    assert opened.complaints == []


@pytest.fixture
async def page(opened: Opened, address: str) -> AsyncIterator[Page]:
    """The tab itself, which leaves the page before its server ends."""
    yield opened.page
    await opened.page.goto("about:blank")


async def put(
    log: logcommon.CommonLog, count: int, message: str, severity: str = "info", name: str = "shop"
) -> None:
    for _ in range(count):
        log.log_common_nowait(name, message, severity)
    await log.flush()


async def put_earlier(url: str, now: float, count: int, message: str) -> None:
    async with logcommon.connect(url, clock=lambda: now - 3_600) as log:
        await put(log, count, message)


async def rows_of(page: Page) -> list[list[str]]:
    """Return the texts of the cells in the table of common messages."""
    script = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    rows: list[list[str]] = await page.locator(".common tbody tr").evaluate_all(script)
    return rows


async def test_what_is_shown_is_what_is_in_redis(
    page: Page, address: str, log: logcommon.CommonLog, valkey_url: str
) -> None:
    """Counts, shares, severities, services, changes, the recent log, marks and the health."""
    await put_earlier(valkey_url, log.settings.clock(), 600, "gone since")
    await put(log, 1_200, "product page served")
    await put(log, 300, "payment declined", "error")
    await put(log, 100, "sent", name="mail")
    await log.mark("v1.4.2")
    await page.goto(address)
    await expect(page.locator(".common tbody tr")).to_have_count(3)

    shown = [(row[0], row[1], row[5], row[6], row[7]) for row in await rows_of(page)]
    assert shown == [
        ("1,200", "75 %", "info", "shop", "product page served"),
        ("300", "19 %", "error", "shop", "payment declined"),
        ("100", "6 %", "info", "mail", "sent"),
    ]
    await expect(page.locator(".common .heading")).to_contain_text("1,600 calls")
    gone = page.locator(".changes li", has_text="gone since")
    await expect(gone).to_contain_text(re.compile(r"gone.*at least .*info.*shop.*600 → 0"))
    await expect(page.locator(".recent li")).to_have_count(100)
    await expect(page.locator(".activity .mark")).to_contain_text("v1.4.2")
    await expect(page.locator("footer")).to_contain_text("counted1,600")
    await expect(page.locator(".destinations")).to_contain_text("mail")
    await expect(page.get_by_role("status")).to_have_text("live")


async def test_it_is_live(page: Page, address: str, log: logcommon.CommonLog) -> None:
    """An empty page says what to do; what is logged then comes by itself, also in the recent log.

    The recent log can be held.
    """
    await page.goto(address)
    await expect(page.locator(".common")).to_contain_text("Nothing was logged yet.")
    await put(log, 1, "the first")
    await expect(page.locator(".common tbody tr")).to_contain_text(["the first"])
    await expect(page.locator(".recent li")).to_contain_text(["the first"])

    await page.get_by_role("button", name="pause").click()
    await put(log, 2, "the first")
    await expect(page.locator(".common tbody td").first).to_have_text("3")
    assert await page.locator(".recent li").count() == 1
    await page.get_by_role("button", name="paused").click()
    await expect(page.locator(".recent li")).to_have_count(3)


async def test_filters_are_in_the_address(
    page: Page, address: str, log: logcommon.CommonLog, valkey_url: str
) -> None:
    """Service, severity, text and hour; the back button and a link show the same again."""
    await put_earlier(valkey_url, log.settings.clock(), 4, "an hour ago")
    await put(log, 3, "taken")
    await put(log, 2, "Declined", "error")
    await put(log, 1, "sent", name="mail")
    await page.goto(address)
    messages = page.locator(".common td.message")
    await expect(messages).to_have_text(["taken", "Declined", "sent"])

    await page.get_by_label("service", exact=True).select_option("shop")
    await expect(messages).to_have_text(["taken", "Declined"])
    await page.get_by_label("severity", exact=True).select_option("error")
    await expect(messages).to_have_text(["Declined"])
    await expect(page).to_have_url(f"{address}?name=shop&severity=error")
    await page.go_back()
    await expect(messages).to_have_text(["taken", "Declined"])
    await expect(page.get_by_label("severity", exact=True)).to_have_value("")

    await page.keyboard.press("/")
    await page.keyboard.type("DECL")
    await expect(messages).to_have_text(["Declined"])
    await page.get_by_label("text in messages").fill("nothing like it")
    await expect(page.locator(".common")).to_contain_text("No message is like this.")
    await page.get_by_role("link", name="Show all").click()
    await expect(messages).to_have_count(3)

    hours = page.get_by_label("hour", exact=True)
    earlier = await hours.locator("option").nth(2).get_attribute("value")
    await hours.select_option(earlier)
    await expect(messages).to_have_text(["an hour ago"])
    link = page.url
    await page.goto("about:blank")
    await page.goto(link)
    await expect(messages).to_have_text(["an hour ago"])
    await expect(hours).to_have_value(str(earlier))


async def test_the_span_is_in_the_address(
    page: Page, address: str, log: logcommon.CommonLog
) -> None:
    """Calls by minute are shown again by a link, and those by hour by the back button."""
    await put(log, 3, "taken")
    await page.goto(address)
    heading = page.locator(".now h2")
    await expect(heading).to_have_text("Calls by hour")
    await page.get_by_role("button", name="60 minutes").click()
    await expect(heading).to_have_text("Calls by minute")
    await expect(page).to_have_url(f"{address}?span=minutes")
    await page.reload()
    await expect(heading).to_have_text("Calls by minute")
    await page.go_back()
    await expect(heading).to_have_text("Calls by hour")


async def test_a_message_looked_at_closely(
    page: Page, address: str, log: logcommon.CommonLog
) -> None:
    """What became it, an example and its series; Escape and the back button close it."""
    for user in ("alice", "bob", "carol"):
        await put(log, 2, f"user {user} paid order 5")
    await log.mute("user <*> paid order <num>")
    await page.goto(address)
    await page.locator(".common td.message button").click()
    view = page.get_by_role("dialog")
    await expect(view).to_contain_text("user alice paid order <num>")
    await expect(view).to_contain_text("paid order 5")
    await expect(view).to_contain_text("6, 100 % of the info calls of shop")
    await expect(view).to_contain_text("muteduntil")
    await expect(view.locator("svg")).to_be_visible()
    link = page.url

    await page.keyboard.press("Escape")
    await expect(view).to_have_count(0)
    await expect(page).to_have_url(address)
    await page.go_back()
    await expect(page.get_by_role("dialog")).to_contain_text("user alice paid")
    await page.goto(link)
    await expect(page.get_by_role("dialog")).to_contain_text("user alice paid")
    await page.get_by_role("button", name="close").click()
    await expect(view).to_have_count(0)


async def test_hostile_text_is_text(page: Page, address: str, valkey_url: str) -> None:
    """In messages, names and severities, wherever they are shown."""
    async with logcommon.connect(valkey_url) as plain:
        await put(plain, 3, HOSTILE, "<b>bold", "<i>name")
    await page.goto(address)
    await expect(page.locator(".common td.message")).to_have_text([HOSTILE])
    await expect(page.locator(".common td.name")).to_have_text(["<i>name"])
    await expect(page.locator(".recent .text").first).to_have_text(HOSTILE)
    await page.locator(".common td.message button").click()
    await expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
    assert await page.locator("img, b b, i").count() == 0


async def test_ten_thousand_messages(page: Page, address: str, valkey: Redis, now: float) -> None:
    """A hundred are drawn, a thousand on request, and the page says so; searching finds all."""
    hour = time.strftime("%Y-%m-%dT%H:00:00", time.gmtime(now))
    members = {f"message {'x' * (number % 40)}{number}": number + 1 for number in range(10_000)}
    await valkey.zadd("common:shop:info", members)
    await valkey.set("common:shop:info:start", hour)
    await valkey.sadd("logcommon:destinations", "shop:info")
    await page.goto(address)
    await expect(page.locator(".more").first).to_contain_text("100 of 10,000 shown")
    await page.get_by_role("button", name="show 1,000").click()
    await expect(page.locator(".common tbody tr")).to_have_count(1_000)
    await expect(page.locator(".more").first).to_contain_text("1,000 of 10,000 shown")
    await page.get_by_label("text in messages").fill("x17")
    await expect(page.locator(".common td.message").last).to_contain_text("x17")


async def test_two_viewers(
    page: Page, browser: Browser, address: str, log: logcommon.CommonLog
) -> None:
    """Each has a view of its own, and both are live."""
    other = await browser.new_page()
    await page.goto(address)
    await other.goto(f"{address}?severity=error")
    await put(log, 2, "taken")
    await put(log, 1, "declined", "error")
    await expect(page.locator(".common td.message")).to_have_text(["taken", "declined"])
    await expect(other.locator(".common td.message")).to_have_text(["declined"])


async def test_a_restart_of_redis(opened: Opened, tmp_path: Path) -> None:
    """What is known stays, with what is wrong and since when; then it goes on by itself."""
    page = opened.page
    with valkey_server(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}/"
        async with (
            logcommon.connect(url) as log,
            serving(log, "127.0.0.1", 0) as address,
        ):
            await put(log, 2, "before")
            await page.goto(address)
            await expect(page.locator(".common td.message")).to_have_text(["before"])
            server.terminate()
            trouble = page.get_by_role("alert")
            await expect(trouble).to_contain_text(re.compile(r"can't be reached.*is from \d\d:"))
            await expect(page.locator(".common td.message")).to_have_text(["before"])
            server.start()
            await put(log, 5, "after")
            await expect(page.locator(".common td.message").first).to_have_text("after")
            await expect(trouble).to_have_count(0)
            await page.goto("about:blank")


async def test_a_restart_of_the_page(opened: Opened, log: logcommon.CommonLog) -> None:
    """It says that it is stale, and connects again by itself."""
    page, port = opened.page, free_port()
    await put(log, 2, "before")
    async with serving(log, "127.0.0.1", port) as address:
        await page.goto(address)
        await expect(page.locator(".common td.message")).to_have_text(["before"])
    await expect(page.get_by_role("status")).to_contain_text("connection lost")
    await expect(page.get_by_role("alert")).to_contain_text("has lost its connection")
    await expect(page.locator(".common td.message")).to_have_text(["before"])
    await put(log, 3, "after")
    async with serving(log, "127.0.0.1", port):
        await expect(page.locator(".common td.message")).to_have_text(["after", "before"])
        await expect(page.get_by_role("status")).to_have_text("live")
        await page.goto("about:blank")
    opened.complaints = [each for each in opened.complaints if not NETWORK.match(each)]


@pytest.mark.parametrize("width", [1300, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_read(
    page: Page,
    address: str,
    log: logcommon.CommonLog,
    valkey_url: str,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    """The checks of axe-core find nothing: names, contrast, roles; also in the message view."""
    await put_earlier(valkey_url, log.settings.clock(), 600, "gone since")
    for severity in ("debug", "info", "warning", "error", "critical", "audit"):
        await put(log, 50, f"a message of severity {severity}", severity)
    await log.mute("a message of severity warning")
    await log.mark("v1.4.2")
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto(address)
    await expect(page.locator(".common tbody tr")).to_have_count(6)
    await expect(page.locator(".changes li").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await assert_accessible(page)
    await page.locator(".common td.message button").first.click()
    await expect(page.get_by_role("dialog").locator("svg")).to_be_visible()
    await assert_accessible(page)


async def assert_accessible(page: Page) -> None:
    found: Any = await Axe().run(page)
    problems = [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found.response["violations"]
    ]
    assert problems == []


async def test_the_form_for_the_token(opened: Opened, log: logcommon.CommonLog) -> None:
    """A person types it once; the address doesn't keep it."""
    page = opened.page
    await put(log, 2, "a message")
    async with serving(log, "127.0.0.1", 0, token="secret") as address:
        await page.goto(f"{address}")
        await assert_accessible(page)
        await page.get_by_label("The token").fill("secret")
        await page.get_by_role("button").click()
        await expect(page.locator(".common td.message")).to_have_text(["a message"])
        assert page.url == address
        await page.goto("about:blank")
    opened.complaints = [each for each in opened.complaints if "401" not in each]
