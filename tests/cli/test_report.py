"""The page of a report: one file, in which what was logged is text."""

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

import logcommon
from cli.processes import RunCommand
from support.clock import HandClock

NASTY = '<script>alert(1)</script> &amp; "quoted" \x1b[2J \u202e</td>'
ALLOWED = {
    *("html", "meta", "title", "style", "h1", "h2", "p", "b", "table", "tr", "th", "td", "small"),
    *("svg", "rect"),
}


class Page(HTMLParser):
    """Collects the tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


async def _log(url: str) -> None:
    for hours_ago, counts in ((1, {"steady": 400}), (0, {"steady": 400, NASTY: 90, "": 2})):
        clock = HandClock()
        clock.now = time.time() - hours_ago * 3600
        async with logcommon.connect(url, clock=clock, template=logcommon.template) as log:
            for message, count in counts.items():
                for _ in range(count):
                    log.log_common_nowait("shop", message)
    async with logcommon.connect(url, template=logcommon.template) as log:
        await log.log_common("mail <b>", "order 17 failed", 'odd severity">')
        await log.mark("v1.4.2 <i>")
    clock = HandClock()
    clock.now = time.time() - 3 * 86_400
    async with logcommon.connect(url, clock=clock) as log:
        await log.mark("v1.3.0")


async def test_a_report_shows_an_hour(
    run_command: RunCommand, valkey_url: str, tmp_path: Path
) -> None:
    """It has changes, messages with examples, pictures of a day, marks, and the hours."""
    await _log(valkey_url)
    finished = run_command("report", "--html", tmp_path / "report.html")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == f"logcommon: wrote {tmp_path / 'report.html'}\n"

    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert "All services" in page.text
    assert re.search(r"493 calls of 4 messages|calls of", page.text)
    assert "order <num> failed" in page.text
    assert "order 17 failed" in page.text
    assert "(empty)" in page.text
    assert "v1.4.2 <i>" in page.text
    assert "v1.3.0" not in page.text
    assert text.count("<svg") == 4
    assert "<rect" in text


async def test_what_was_logged_is_text(run_command: RunCommand, valkey_url: str) -> None:
    """Neither messages, names nor marks add an element or an attribute; nothing is loaded."""
    await _log(valkey_url)
    text = run_command("report", "--html", "-").stdout
    page = Page(text)
    assert page.tags <= ALLOWED
    assert not {name for name in page.attributes if name.startswith("on")}
    assert not page.attributes & {"src", "href"}
    assert text.replace("\n", "").isprintable()
    assert "<script>alert(1)</script>" in page.text
    assert "default-src 'none'" in text


async def test_a_report_of_one_service(run_command: RunCommand, valkey_url: str) -> None:
    """It has no column for the service, and says that nothing has changed."""
    for hours_ago in (2, 1):
        clock = HandClock()
        clock.now = time.time() - hours_ago * 3600
        async with logcommon.connect(valkey_url, clock=clock) as log:
            await log.log_common("shop", "m")
    page = Page(run_command("report", "shop", "--html", "-").stdout)
    assert "service" not in page.text
    assert "Nothing." in page.text


@pytest.mark.parametrize("arguments", [(), ("--html", "/")])
def test_a_file_must_be_named(run_command: RunCommand, arguments: tuple[str, ...]) -> None:
    """Without one, or for a directory, the usage is wrong."""
    assert run_command("report", *arguments).returncode == 2


def test_nothing_to_report(run_command: RunCommand, tmp_path: Path) -> None:
    """An empty server writes no file, and an unknown service is an error."""
    finished = run_command("report", "--html", tmp_path / "report.html")
    assert "logcommon demo" in finished.stdout
    assert not (tmp_path / "report.html").exists()
    assert run_command("report", "shop", "--html", "-").returncode == 4


def test_a_file_that_cannot_be_written(run_command: RunCommand, valkey_url: str) -> None:
    """It is one line, with exit code 1."""
    run_command("ingest", "--name", "shop", stdin=b"m\n")
    finished = run_command("report", "--html", "/nowhere/report.html")
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
