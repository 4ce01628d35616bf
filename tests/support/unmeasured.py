"""Keeps code out of a measurement of coverage.

The tracer of coverage has locks. An exception that a signal handler raises at any moment can leave
one of them locked for ever, so code that is interrupted like that must not be traced.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""Tell a program to measure itself."""


@contextmanager
def unmeasured() -> Iterator[None]:
    """Don't trace this thread in the block."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


def unmeasured_environment() -> dict[str, str]:
    """Return the environment for a program that is not to be measured."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}
