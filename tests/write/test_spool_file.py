"""The file of a spool: what can't be one, and one that is closed."""

import os
from pathlib import Path

import pytest

from logcommon import SpoolError
from logcommon.write.spool_file import SpoolFile


def test_a_pipe_is_no_spool(tmp_path: Path) -> None:
    """Only a regular file keeps anything; a pipe is refused, and the lock is given back."""
    path = tmp_path / "spool"
    os.mkfifo(path)
    for _ in range(2):
        file = SpoolFile(path)
        with pytest.raises(SpoolError, match="not a regular file"):
            file.open()
        file.close()


def test_a_closed_file(tmp_path: Path) -> None:
    """It has no descriptor, and can be closed once more."""
    file = SpoolFile(tmp_path / "spool")
    file.close()
    with pytest.raises(SpoolError, match="it is closed"):
        _ = file.descriptor
