"""An integration without its package, or with one that is too old, says how to install it."""

import pytest

from support.programs import run
from support.requirements import required

WITHOUT_A_MODULE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
__import__("logcommon.integrations." + sys.argv[2])
"""

WITHOUT_A_NAME = """
import importlib, sys

delattr(importlib.import_module(sys.argv[1]), sys.argv[2])
importlib.import_module("logcommon.integrations." + sys.argv[3])
"""


def how_to_install(extra: str) -> str:
    """Return the last line of a program that could not import an integration."""
    quoted = required(extra)
    requirement = quoted.strip("'")
    return f"ImportError: {requirement} is not installed: pip install {quoted}"


@pytest.mark.parametrize(
    ("module", "integration"),
    [
        ("aiohttp", "aiohttp"),
        ("django", "django"),
        ("fastapi", "fastapi"),
        ("loguru", "loguru"),
        ("opentelemetry", "opentelemetry"),
        ("opentelemetry.sdk", "opentelemetry"),
        ("prometheus_client", "prometheus"),
        ("structlog", "structlog"),
    ],
)
def test_without_the_package_the_error_says_what_to_install(module: str, integration: str) -> None:
    """Importing an integration without its package names a command that works anywhere."""
    stderr = run(WITHOUT_A_MODULE, module, integration).stderr
    assert stderr.endswith(f"{how_to_install(integration)}\n")


def test_with_an_old_package_the_error_says_what_to_install() -> None:
    """A package that lacks what the integration imports gets the same command, with a version."""
    module, name = "opentelemetry.sdk._logs.export", "LogRecordExporter"
    stderr = run(WITHOUT_A_NAME, module, name, "opentelemetry").stderr
    assert stderr.endswith(f"{how_to_install('opentelemetry')}\n")


@pytest.mark.parametrize("module", ["multidict", "logcommon.client"])
def test_another_import_error_is_left_alone(module: str) -> None:
    """If the package is there, the error names what is really missing."""
    stderr = run(WITHOUT_A_MODULE, module, "aiohttp").stderr
    assert stderr.endswith(f"ModuleNotFoundError: No module named '{module}'\n")
    assert "pip install" not in stderr
