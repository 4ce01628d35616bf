"""The terminal: `logcommon demo`, `ingest`, `top`, `recent` and `destinations`."""

import sys


def main() -> None:
    """Run the command that the arguments name, and exit with its exit code."""
    try:
        # Imported here, so that this can say what to install if the extra `cli` is missing.
        from logcommon.cli.app import run
    except ModuleNotFoundError as missing:
        if missing.name not in ("click", "rich"):
            raise
        sys.stderr.write(
            f"logcommon: error: {missing.name} is not installed: "
            "pip install 'click>=8.2' 'rich>=14'\n"
        )
        sys.exit(1)
    sys.exit(run())
