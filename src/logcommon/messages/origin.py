"""What an exception is counted as: its type and where it was raised; one bug is one line. Pure."""

import os
import sysconfig
from functools import lru_cache
from pathlib import PurePath
from types import TracebackType

_STANDARD_LIBRARY = (
    "<frozen",
    sysconfig.get_path("stdlib") + os.sep,
    sysconfig.get_path("platstdlib") + os.sep,
)
_INSTALLED = ("site-packages", "dist-packages")
_OURS = str(PurePath(__file__).parents[1]) + os.sep
"""Where this package is, which need not be among the installed ones."""


def type_and_place(error: BaseException) -> str:
    """Return a line like `ValueError at app/orders.py:41`, without the text of the error.

    The place is the innermost one in the application's own code; in an installed package where
    there is none, and in the standard library where there is nothing else. Of a group with one
    error in it, as a task group raises, it is the error that counts.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    found = _innermost(error.__traceback__)
    name = type(error).__qualname__
    if found is None:
        return name
    file = _file(found.tb_frame.f_code.co_filename, _module(found.tb_frame.f_globals))
    return f"{name} at {file}:{found.tb_lineno}"


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    found = None
    while traceback is not None:
        if found is None or _distance(traceback) <= _distance(found):
            found = traceback
        traceback = traceback.tb_next
    return found


def _distance(traceback: TracebackType) -> int:
    """Return how far from the application the code at a place is."""
    return distance_of(traceback.tb_frame.f_code.co_filename)


@lru_cache(maxsize=1024)
def distance_of(filename: str) -> int:
    """Return 0 for a file of the application, 1 for an installed package's, 2 for Python's own."""
    if filename.startswith(_OURS) or any(part in _INSTALLED for part in PurePath(filename).parts):
        return 1
    return 2 if filename.startswith(_STANDARD_LIBRARY) else 0


def _module(names: dict[str, object]) -> str:
    """Return the name of the module that has these names."""
    # That of a module run with `python -m` is `__main__`; where it was found has the other one.
    return str(getattr(names.get("__spec__"), "name", None) or names.get("__name__", ""))


def _file(filename: str, module: str) -> str:
    """Return as much of a path as the module's name has parts: the same on every machine."""
    path = PurePath(filename)
    parts = module.count(".") + 1 + (path.name == "__init__.py" and module != "__init__")
    return "/".join(path.parts[-parts:])
