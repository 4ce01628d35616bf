"""Runs programs given as text."""

import subprocess
import sys
import tempfile


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with warnings as errors, in a folder with nothing to import."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tempfile.gettempdir(),
    )
