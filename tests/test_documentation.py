"""What the README and the docs say is true."""

import ast
import dataclasses
import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import logcommon
from logcommon.integrations.logging import CommonLogHandler
from logcommon.settings import Settings
from logcommon.stats import Stats

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest"
EXAMPLES = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.fixture
def _no_handlers_left() -> Iterator[None]:
    """Close the handlers that an example has given to loggers, as the end of a program does."""
    yield
    logging.getLogger().setLevel(logging.WARNING)
    for logger in map(logging.getLogger, [None, *logging.root.manager.loggerDict]):
        for handler in logger.handlers[:]:
            if isinstance(handler, CommonLogHandler):
                logger.removeHandler(handler)
                handler.close()


@pytest.mark.usefixtures("_no_handlers_left")
@pytest.mark.parametrize("code", EXAMPLES)
async def test_every_example_runs(code: str, valkey_url: str) -> None:
    """An example does what it shows, on the Valkey of the tests."""
    code = code.replace("redis://localhost:6379/0", valkey_url).replace("embedded:", valkey_url)
    code = code.replace("Redis()", f"Redis.from_url({valkey_url!r})")
    compiled = compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, {})  # noqa: S307  # our own documentation
    if inspect.isawaitable(result):
        await result


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """The command that the README promises is the one that has to pass."""
    assert f"$ {TEST_COMMAND}\n" in PAGES[0].read_text()
    assert f"\n{TEST_COMMAND}\n" in (ROOT / ".ci" / "run").read_text()


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


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of settings is complete, and its defaults are those of the code."""
    documented = rows("Settings")
    fields = {field.name: field.default for field in dataclasses.fields(Settings)}
    parameters = inspect.signature(logcommon.connect).parameters
    assert documented.keys() == fields.keys() == parameters.keys() - {"target"}
    for name, default in fields.items():
        assert parameters[name].default == default
        if name not in ("clock", "redact", "spool"):
            assert number(documented[name][0]) == default


def test_every_statistic_is_documented() -> None:
    """The table of statistics has every field and property, and no other."""
    properties = {name for name, value in vars(Stats).items() if isinstance(value, property)}
    fields = {field.name for field in dataclasses.fields(Stats)}
    assert rows("Statistics").keys() == fields | properties


def test_every_error_is_documented() -> None:
    """The table of errors has every public one."""
    errors = {name for name in logcommon.__all__ if name.endswith("Error")}
    assert rows("Errors").keys() == errors - {"LogCommonError"}
