"""The files of the page: small, alone, and with licences; and those for Grafana use our metrics."""

import json
import re
from pathlib import Path

from logcommon.dashboard.application import STATIC
from logcommon.dashboard.metrics import exposition

GRAFANA = Path(__file__).parents[2] / "docs" / "grafana"


def test_they_are_small_and_need_nobody_else() -> None:
    """All together take less than 150 kB, and none names another host."""
    files = [file for file in STATIC.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files if file.suffix != ".txt") < 150_000
    for file in files:
        if file.suffix in {".html", ".js", ".css"}:
            found = re.findall(r"https?://[^\s\"')]+", file.read_text())
            assert all(each.startswith("http://www.w3.org/") for each in found), file


def test_nothing_is_inline() -> None:
    """The content security policy would refuse it; addresses are relative, for any prefix."""
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"""(?:src|href)=["']/""", page)


def test_what_is_vendored_has_its_licence() -> None:
    """Each library is named in the file with the licences."""
    licences = (STATIC / "vendor" / "LICENSES.txt").read_text()
    for file in (STATIC / "vendor").glob("*.js"):
        assert file.name in licences
    assert "Apache License" in licences
    assert "MIT License" in licences


def test_grafana_asks_for_metrics_that_exist() -> None:
    """In the dashboard as well as in the alert rules."""
    dashboard = json.loads((GRAFANA / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = (GRAFANA / "alerts.yml").read_text()
    named = set(re.findall(r"logcommon_\w+", " ".join([*expressions, rules])))
    described = set(re.findall(r"# TYPE (\w+)", exposition({}, None).decode()))
    assert named
    assert named <= described
