"""What the README and the docs say is true."""

import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.stats import Stats
from support.examples import Counts, counts_in, examples_of, run_example

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
MODULES = sorted((ROOT / "src").rglob("*.py"))
TEST_COMMAND = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest -n auto"
)
WITH_EXAMPLES = [
    pytest.param(page, id=str(page.relative_to(ROOT)))
    for page in [*PAGES, *MODULES]
    if examples_of(page)
]


async def follow(page: Path, redis: Redis, url: str, folder: Path) -> list[Counts]:
    """Run the examples of a page in order, and return what each of them has had counted."""
    counted = []
    before = await counts_in(redis)
    for example in examples_of(page):
        await run_example(example, url, folder)
        now = await counts_in(redis)
        counted.append(now - before)
        before = now
    return counted


@pytest.mark.parametrize("page", WITH_EXAMPLES)
async def test_a_page_can_be_followed_in_order_and_twice(
    page: Path, valkey: Redis, valkey_url: str, tmp_path: Path
) -> None:
    """Saved as a file, every example runs, under names of its own, and counts what it says."""
    first = await follow(page, valkey, valkey_url, tmp_path)
    second = await follow(page, valkey, valkey_url, tmp_path)

    assert first == second
    names = Counter(name for counted in first for name in {name for name, *_ in counted})
    assert set(names.values()) <= {1}, names
    for example, counted in zip(examples_of(page), first, strict=True):
        messages = {message: count for (_, _, message), count in counted.items()}
        assert example.said_counts().items() <= messages.items()


def test_what_is_to_be_installed_can_be_installed() -> None:
    """No page, error or docstring takes the package for released, and every extra exists."""
    extras = set(metadata.metadata("logcommon").get_all("Provides-Extra") or ())
    for file in [*PAGES, *MODULES, *(ROOT / "docs").rglob("*.py")]:
        text = file.read_text()
        assert not re.search(r"(pip install|uv add)[^\n]* '?logcommon", text), file
        for named in re.findall(r"'\.\[(.+?)\]'", text):
            assert set(named.split(",")) <= extras


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """The command that the README promises is the one that has to pass."""
    assert f"$ {TEST_COMMAND}\n" in PAGES[0].read_text()
    assert f"\n{TEST_COMMAND}\n" in (ROOT / ".ci" / "run").read_text()


def test_every_session_of_nox_that_is_named_exists() -> None:
    """Pages and CI name sessions that the noxfile has."""
    noxfile = (ROOT / "noxfile.py").read_text()
    sessions = set(re.findall(r"^def (\w+)\(session: nox", noxfile, re.MULTILINE))

    for file in [*PAGES, ROOT / ".ci" / "run"]:
        for named in re.findall(r"nox .*?-s ([a-z ]+)", file.read_text()):
            assert set(named.split()) <= sessions, file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_how_its_examples_are_run(page: Path) -> None:
    """A page with examples names the command that runs one."""
    if examples_of(page):
        assert re.search(r"`(python \w+\.py|uvicorn \w+:app|pytest \w+\.py)", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in the documentation names a file that exists."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table under a heading of the reference, by their first cell."""
    text = (ROOT / "docs" / "reference.md").read_text()
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if "|" in line]
    return {first.strip("`"): rest for first, *rest in cells[2:]}


def number(text: str) -> float:
    """Return the number that a table shows: `10,000`, or `16 MiB` for bytes."""
    amount, _, unit = text.replace(",", "").partition(" ")
    return float(amount) * {"": 1, "MiB": 1024 * 1024}[unit]


def explained(function: Callable[..., object]) -> dict[str, str]:
    """Return what the docstring of a function says of each of its arguments, on one line each."""
    text = (inspect.getdoc(function) or "").split("Args:\n")[1].split("\n\n")[0]
    arguments = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return {name: " ".join(lines.split()) for name, lines in arguments}


def test_a_setting_is_an_argument_of_connect() -> None:
    """`connect` and `Settings` have the same names and defaults, and `connect` explains each."""
    parameters = dict(inspect.signature(logcommon.connect).parameters)
    assert explained(logcommon.connect).keys() == parameters.keys()
    parameters.pop("target")
    fields = {field.name: field.default for field in dataclasses.fields(logcommon.Settings)}
    assert {name: each.default for name, each in parameters.items()} == fields


def test_the_reference_says_of_settings_what_connect_does() -> None:
    """The table of settings has each with its default and the sentences of the docstring."""
    documented = rows("Settings")
    sentences = explained(logcommon.connect)
    sentences.pop("target")
    assert {name: row[1] for name, row in documented.items()} == sentences
    for field in dataclasses.fields(logcommon.Settings):
        if field.name not in ("clock", "redact", "spool", "template"):
            assert number(documented[field.name][0]) == field.default


def test_every_statistic_is_documented() -> None:
    """The table of statistics has every field and property, and no other."""
    properties = {name for name, value in vars(Stats).items() if isinstance(value, property)}
    fields = {field.name for field in dataclasses.fields(Stats)}
    assert rows("Statistics").keys() == fields | properties


def test_every_error_is_documented() -> None:
    """The table of errors has every public one."""
    errors = {name for name in logcommon.__all__ if name.endswith("Error")}
    assert rows("Errors").keys() == errors - {"LogCommonError"}


def test_the_tree_of_modules_is_complete() -> None:
    """The page on how it works shows every module, and none that there isn't."""
    tree = (ROOT / "docs" / "how-it-works.md").read_text().split("```")[1]
    shown = re.findall(r"\w+\.py", tree)
    there = [path.name for path in MODULES if not path.stem.startswith("__")]
    assert sorted(shown) == sorted(set(there) - {"_logcommon_pytest.py"})
