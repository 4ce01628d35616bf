"""The terminal: `logcommon demo`, `ingest`, `top`, `compare` and more."""

import sys


def main() -> None:
    """Run the command that the arguments name, and exit with its exit code."""
    try:
        # Imported here, so that this can say what to install if the extra `cli` is missing.
        from logcommon.cli.app import run
    except ModuleNotFoundError as missing:
        package = str(missing.name).partition(".")[0]
        if package not in ("click", "rich"):
            raise
        sys.stderr.write(
            f"logcommon: error: {package} is not installed: pip install 'click>=8.2' 'rich>=14'\n"
        )
        sys.exit(1)
    sys.exit(run())
