"""A directory for an embedded server, and programs that use it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.embedded import Programs, crash_server, is_alive


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for a unix socket, which `tmp_path` may not be."""
    path = Path(tempfile.mkdtemp(prefix="lc-"))
    yield path
    left_over = [file.parent for file in path.rglob("server.pid") if is_alive(file.parent)]
    for folder in left_over:
        crash_server(folder)
    shutil.rmtree(path)
    assert not left_over, "the test has left a server behind"


@pytest.fixture
def programs(directory: Path) -> Iterator[Programs]:
    """Runs programs that end with the test."""
    programs = Programs(directory)
    yield programs
    programs.close()
