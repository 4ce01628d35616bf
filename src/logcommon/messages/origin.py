"""What an exception is counted as: its type and where it was raised, so that one bug is one line.

No I/O.
"""

import math
import os
import sysconfig
from functools import lru_cache
from pathlib import PurePath
from types import TracebackType

from logcommon.model import FixedText

_STANDARD_LIBRARY = (
    "<frozen",
    sysconfig.get_path("stdlib") + os.sep,
    sysconfig.get_path("platstdlib") + os.sep,
)
_INSTALLED = ("site-packages", "dist-packages")
_OURS = str(PurePath(__file__).parents[1]) + os.sep
"""This package, which an editable install leaves outside site-packages."""


def origin_of(error: BaseException) -> str:
    """Return a line like `ValueError at app/orders.py:41`, without the text of the error.

    The line is the innermost one in the application's own code. If there is none, it is one in an
    installed package, or else in the standard library. A group with a single error in it, as a
    task group raises, counts as that error. The line is a template already.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]

    name = type(error).__qualname__
    raised_at = _innermost(error.__traceback__)
    if raised_at is None:
        return FixedText(name)

    code = raised_at.tb_frame.f_code
    file = _portable_path(code.co_filename, _module_name(raised_at.tb_frame.f_globals))
    return FixedText(f"{name} at {file}:{raised_at.tb_lineno}")


def is_application_code(filename: str) -> bool:
    """Return whether a file is neither an installed package's nor the standard library's."""
    return _distance(filename) == 0


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    """Return the innermost frame of a traceback among those nearest to the application."""
    found, nearest = None, math.inf
    while traceback is not None:
        distance = _distance(traceback.tb_frame.f_code.co_filename)
        if distance <= nearest:
            found, nearest = traceback, distance
        traceback = traceback.tb_next

    return found


@lru_cache(maxsize=1024)
def _distance(filename: str) -> int:
    """Return 0 for a file of the application, 1 for an installed package's, 2 for Python's own."""
    if filename.startswith(_OURS) or any(part in _INSTALLED for part in PurePath(filename).parts):
        return 1
    return 2 if filename.startswith(_STANDARD_LIBRARY) else 0


def _module_name(module_globals: dict[str, object]) -> str:
    # With `python -m`, `__name__` is `__main__`; the spec still has the real name.
    spec = module_globals.get("__spec__")
    return str(getattr(spec, "name", None) or module_globals.get("__name__", ""))


def _portable_path(filename: str, module: str) -> str:
    """Return the part of a path that belongs to the module: it is the same on every machine."""
    path = PurePath(filename)
    parts = module.count(".") + 1 + (path.name == "__init__.py" and module != "__init__")
    return "/".join(path.parts[-parts:])
