"""The terminal: `logcommon demo`, `ingest`, `top`, `recent` and `destinations`."""

import sys


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        # Here and not above: without the extra `cli`, this must still be able to say so.
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
