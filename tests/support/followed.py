"""What the tests of followed files have in common."""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from logcommon.cli.followed import FollowedFile


async def fresh_lines(file: FollowedFile) -> list[str]:
    """Return lines until a read finds none."""
    lines = []
    while (found := await file.read()) is not None:
        lines += found
    return lines


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def open_files(folder: Path) -> int:
    """Return how many files this process has open in a folder."""
    return sum(path.resolve().is_relative_to(folder) for path in Path("/dev/fd").iterdir())


class NumberedLog:
    """A log of numbered lines, of which each must be read exactly once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0

    def write(self, lines: int = 1000, path: Path | None = None) -> None:
        """Append lines to the log, or to what it was renamed to."""
        numbers = range(self.written, self.written + lines)
        append(path or self.path, "".join(f"line {number:08}\n" for number in numbers))
        self.written += lines

    def rotated(self, suffix: object) -> Path:
        """Return the path of a rotated file."""
        return Path(f"{self.path}.{suffix}")

    def rename_away(self) -> None:
        """Rotate as logrotate does with `create`."""
        self.shift()
        self.path.rename(self.rotated(1))
        self.path.touch()

    def copy_and_truncate(self) -> None:
        """Rotate as logrotate does with `copytruncate`."""
        self.shift()
        shutil.copy(self.path, self.rotated(1))
        os.truncate(self.path, 0)

    def shift(self) -> None:
        """Rename the rotated files, to make room for another."""
        for number in range(9, 0, -1):
            rotated = self.rotated(number)
            if rotated.exists():
                rotated.rename(self.rotated(number + 1))

    def expect(self, lines: list[str]) -> None:
        """Require that these are all the lines, in order."""
        assert lines == self.lines

    @property
    def lines(self) -> list[str]:
        """All lines that were written."""
        return [f"line {number:08}" for number in range(self.written)]


def call_before(patch: pytest.MonkeyPatch, moment: int, function: Callable[[], None]) -> list[bool]:
    """Call `function` before the file access of this number; the list tells whether it was."""
    happened: list[bool] = []
    accesses = itertools.count()

    def patched(real: Callable[..., Any]) -> Callable[..., Any]:
        def access(*args: Any, **options: Any) -> Any:
            if not happened and next(accesses) == moment:
                happened.append(True)
                function()
            return real(*args, **options)

        return access

    for owner, name in ((os, "pread"), (os, "fstat"), (Path, "stat"), (Path, "iterdir")):
        patch.setattr(owner, name, patched(getattr(owner, name)))
    return happened
