"""Exceptions in the text of a log: counted by type and place, as `origin` does. No I/O."""

import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from logcommon.model import FixedText

TRACEBACK = "Traceback (most recent call last):"
"""What a traceback begins with."""

_MARGIN = re.compile(r"\s*(?:\+ |\| ?)")
_FRAME = re.compile(r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.*)')
_ERROR = re.compile(r"(?:[A-Za-z_]\w*\.)*(?P<type>[A-Za-z_]\w*)(?::.*)?", re.DOTALL)
_GROUP = "Exception Group "
_SINGLE = "(1 sub-exception)"
_STANDARD_LIBRARY = re.compile(r"<frozen |(?:.*/)?lib/python\d\.\d+/(?!(?:site|dist)-packages/)")
_INSTALLED = re.compile(r"(?:.*/)?(?:site|dist)-packages/")
_PARTS = 2
"""Of an application's path, which tells no more than the machine."""


class _Frame(NamedTuple):
    file: str
    line: str
    function: str


def origin_in(text: str) -> FixedText | None:
    """Return what the exception of a text's traceback is counted as, None if there is none.

    Of a chain, that is the last exception. Paths are shortened to two parts, since the text does
    not say which of them belong to the module.
    """
    found: FixedText | None = None
    lines = iter(text.splitlines())
    for line in lines:
        before, header, _ = line.partition(TRACEBACK)
        if not header:
            continue
        frames, error = _read(lines, has_margin="|" in before or "+" in before)
        found = _origin(error, frames) or found
        # A group of several is counted as itself, and one of a single error as that.
        if before.endswith(_GROUP) and not error.endswith(_SINGLE):
            break
    return found


def _read(lines: Iterator[str], *, has_margin: bool) -> tuple[list[_Frame], str]:
    """Return the frames of a traceback, and the line after them, which names the error."""
    frames: list[_Frame] = []
    for line in lines:
        plain = _MARGIN.sub("", line, count=1) if has_margin else line
        if match := _FRAME.match(plain):
            frames.append(_Frame(match["file"], match["line"], match["function"]))
        elif plain[:1].strip():
            return frames, plain
    return frames, ""


def _origin(error: str, frames: list[_Frame]) -> FixedText | None:
    match = _ERROR.fullmatch(error)
    if match is None:
        return None
    nearest, raised_at = math.inf, None
    for frame in frames:
        if (distance := _distance(frame.file)) <= nearest:
            nearest, raised_at = distance, frame
    if raised_at is None:
        return FixedText(match["type"])
    return FixedText(f"{match['type']} at {_portable_path(raised_at)}:{raised_at.line}")


def _distance(file: str) -> int:
    """Return 0 for a file of the application, 1 for an installed package's, 2 for Python's own."""
    path = file.replace("\\", "/")
    if _INSTALLED.match(path):
        return 1
    return 2 if _STANDARD_LIBRARY.match(path) else 0


def _portable_path(frame: _Frame) -> str:
    path = frame.file.replace("\\", "/")
    for root in (_INSTALLED, _STANDARD_LIBRARY):
        if match := root.match(path):
            return path[match.end() :]
    parts = PurePosixPath(path).parts
    return "/".join(parts[-1:] if frame.function == "<module>" else parts[-_PARTS:])
