"""Rotated files: those beside a log whose names are made from its own."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

from logcommon.cli.compressed import format_of
from logcommon.cli.files import open_file

_NUMBER_OR_DATE = r"[.\-_]\d.*"
_DATE = r"[.\-_]20\d\d[.\-_]?\d\d.*"
"""Between stem and suffix only a date counts: a number may mean the log of another process."""

_ENOUGH = 1024
"""First bytes compared, to distinguish a file from a later one with the same inode."""

_Identity: TypeAlias = tuple[int, int]


class _Sibling(NamedTuple):
    name: str
    file: int
    status: os.stat_result
    beginning: bytes

    @property
    def identity(self) -> _Identity:
        return _identity(self.status)

    def is_in(self, known: dict[_Identity, bytes]) -> bool:
        beginning = known.get(self.identity)
        return beginning is not None and self.beginning.startswith(beginning)

    @property
    def order(self) -> tuple[int, int, str]:
        # Two rotations may fall within one tick of the file system's clock. Then app.log.2 is
        # older than app.log.1, and the smaller of two dates is the older.
        number = self.name.rpartition(".")[2]
        return self.status.st_mtime_ns, -int(number) if number.isdecimal() else 0, self.name


class Siblings:
    """The rotated files of the log at `path`, and which of them are new since the last look."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        name, stem, suffix = map(re.escape, (path.name, path.stem, path.suffix))
        self._names = re.compile(f"{name}{_NUMBER_OR_DATE}|{stem}{_DATE}{suffix}", re.DOTALL)
        self._known: dict[_Identity, bytes] = {}
        self._known_before = self._known
        for file in self.open_new():
            os.close(file)

    def open_new(
        self, *, ours: Sequence[int] = (), current: int | None = None, since: int = 0
    ) -> list[int]:
        """Open the files that were not there at the last look, oldest first.

        Leaves out compressed files.

        Args:
            ours: Files that are open already.
            current: The log itself. A copy of what it contains now becomes new once the log is
                truncated.
            since: Nanoseconds since the epoch; files last written to before that are left out.

        """
        self._known_before, self._known = self._known, {}
        before = self._known_before | {_identity(os.fstat(file)): b"" for file in ours}
        new: list[_Sibling] = []

        for each in self._open_each():
            is_known = each.is_in(before)
            is_in_log = current is not None and not is_known and _is_copy(each.file, current)
            if not is_in_log:
                self._known[each.identity] = each.beginning

            is_wanted = each.status.st_mtime_ns >= since and not format_of(each.beginning)
            if is_wanted and not is_known and not is_in_log:
                new.append(each)
            else:
                os.close(each.file)

        return [each.file for each in sorted(new, key=lambda it: it.order)]

    def put_back(self, files: list[int]) -> None:
        """Close files of the last look, and let the next one find them again."""
        self._known = self._known_before
        for file in files:
            os.close(file)

    def _open_each(self) -> list[_Sibling]:
        """Open the rotated files, except those that can't be read or are gone by now.

        Starts again if a rotation renamed them meanwhile, as one may have been missed.
        """
        while True:
            names = self._names_and_identities()
            opened = list(self._open(names))
            if self._names_and_identities() == names:
                return opened
            for each in opened:
                os.close(each.file)

    def _open(self, names: Iterable[str]) -> Iterator[_Sibling]:
        for name in names:
            with suppress(OSError):
                file = open_file(self._folder / name, only_regular=True)
                yield _Sibling(name, file, os.fstat(file), os.pread(file, _ENOUGH, 0))

    def _names_and_identities(self) -> dict[str, _Identity]:
        found: dict[str, _Identity] = {}
        with suppress(OSError):
            for path in self._folder.iterdir():
                if self._names.fullmatch(path.name):
                    with suppress(OSError):
                        found[path.name] = _identity(path.stat())
        return found


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _is_copy(file: int, log: int) -> bool:
    """Return whether a log begins with the content of `file`, judged by both ends of that."""
    size = os.fstat(file).st_size
    length = min(_ENOUGH, size)
    return all(
        os.pread(file, length, start) == os.pread(log, length, start)
        for start in (0, size - length)
    )
