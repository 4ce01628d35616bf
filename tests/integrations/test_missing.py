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
    ("package", "integration", "name"),
    [
        ("aiohttp", "aiohttp", "aiohttp"),
        ("django", "django", "django"),
        ("fastapi", "fastapi", "fastapi"),
        ("loguru", "loguru", "loguru"),
        ("prometheus_client", "prometheus", "prometheus-client"),
        ("structlog", "structlog", "structlog"),
    ],
)
def test_without_the_package_the_error_says_what_to_install(
    package: str, integration: str, name: str
) -> None:
    """Importing an integration without its package names a command that works anywhere."""
    assert run(IMPORT, package, integration).stderr.endswith(
        f"ImportError: {package} is not installed: pip install {name}\n"
    )
