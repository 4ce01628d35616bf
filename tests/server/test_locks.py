"""Of `logcommon.server.locks`: locks on files, between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from logcommon.server.locks import FileLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the lock."""
    return tmp_path / "test.lock"


def test_an_exclusive_lock_has_one_holder(path: Path) -> None:
    """A second one gets it once the first has released it."""
    first, second = FileLock(path), FileLock(path)
    assert first.acquire()
    assert not second.acquire()
    assert not second.acquire(0.02, shared=True)
    first.release()
    assert second.acquire()
    second.release()


def test_a_shared_lock_has_any_number_of_holders(path: Path) -> None:
    """None of them can take it exclusively until the others have released it."""
    first, second = FileLock(path), FileLock(path)
    assert first.acquire(shared=True)
    assert second.acquire(shared=True)
    assert not first.acquire()
    second.release()
    assert first.acquire()
    first.release()


def test_a_lock_that_cannot_be_exchanged_is_given_up(path: Path) -> None:
    """Asking for an exclusive lock gives up the shared one, even if somebody else has one too."""
    first, second = FileLock(path), FileLock(path)
    assert first.acquire(shared=True)
    assert second.acquire(shared=True)
    assert not first.acquire()
    assert second.acquire()
    first.release()
    second.release()


def test_a_process_with_a_copy_keeps_the_lock(path: Path) -> None:
    """Closing our copy does not release it, but the end of that process does."""
    ours, other = FileLock(path), FileLock(path)
    assert ours.acquire()
    program = [sys.executable, "-c", "input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, pass_fds=[ours.descriptor]) as process:
        ours.close()
        assert not other.acquire()
        process.kill()
    assert other.acquire()
    other.release()


def test_a_release_holds_for_all_copies(path: Path) -> None:
    """A forked child that lives on does not keep what its parent released."""
    ours, other = FileLock(path), FileLock(path)
    assert ours.acquire()
    program = [sys.executable, "-c", "input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, pass_fds=[ours.descriptor]) as process:
        ours.release()
        assert other.acquire()
        process.kill()
    other.release()


def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    """Nothing is created where it points."""
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        FileLock(path)
    assert not (tmp_path / "elsewhere").exists()
