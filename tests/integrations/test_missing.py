"""An integration without its package, which says how to install it. OpenTelemetry has its own."""

import pytest

from support.programs import run

IMPORT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
__import__("logcommon.integrations." + sys.argv[2])
"""


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("aiohttp", "aiohttp"),
        ("django", "django"),
        ("fastapi", "fastapi"),
        ("loguru", "loguru"),
        ("prometheus_client", "prometheus"),
        ("structlog", "structlog"),
    ],
)
def test_without_the_package_the_error_says_what_to_install(package: str, extra: str) -> None:
    """Importing an integration without its package names the command that brings it."""
    assert run(IMPORT, package, extra).stderr.endswith(
        f"ImportError: {package} is not installed: pip install 'logcommon[{extra}]'\n"
    )
