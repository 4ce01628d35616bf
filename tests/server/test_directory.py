"""Of `logcommon.server.directory`: which directories are refused, so that nobody else gets in."""

import os
from pathlib import Path

import pytest

from logcommon.exceptions import EmbeddedServerError
from logcommon.server.embedded import EmbeddedServer
from support.embedded import crash_server, is_alive

SOMEBODY = 45678
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def refused(directory: Path, match: str) -> None:
    """Expect a refusal that starts nothing and changes nothing in the directory."""
    before = sorted(directory.rglob("*"))
    with pytest.raises(EmbeddedServerError, match=match):
        EmbeddedServer(directory).start()
    assert sorted(directory.rglob("*")) == before


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_directory_that_others_can_write_to(directory: Path, mode: int) -> None:
    """It is refused with the remedies, and both of them work."""
    shared = directory / "shared"
    shared.mkdir()
    shared.chmod(mode)
    refused(shared, "other users can write to it; use a new directory below it, or run chmod go-w")
    with EmbeddedServer(shared / "below"):
        assert is_alive(shared / "below")
    shared.chmod(0o755)
    with EmbeddedServer(shared):
        assert is_alive(shared)


@pytest.mark.parametrize(
    "name", ["start.lock", "users.lock", "server.lock", "server.log", "server.pid", "unknown"]
)
def test_a_symbolic_link_in_the_directory(directory: Path, name: str) -> None:
    """It is refused, and what it points to is left alone."""
    (directory / "data").mkdir(mode=0o700)
    target = directory / "target"
    target.write_text("precious")
    (directory / "data" / name).symlink_to(target)
    refused(directory / "data", f"{name} in it is a symbolic link; remove it")
    assert target.read_text() == "precious"


def test_a_symbolic_link_among_the_data(directory: Path) -> None:
    """The server's own folder is looked into as well."""
    with EmbeddedServer(directory):
        pass
    (directory / "appendonlydir" / "link").symlink_to(directory / "start.lock")
    refused(directory, "link in it is a symbolic link")


def test_a_lock_is_never_opened_through_a_link(directory: Path) -> None:
    """Nor when the link appears after the directory was looked at."""
    server = EmbeddedServer(directory)
    server.start()
    (directory / "start.lock").rename(directory / "aside")
    (directory / "start.lock").symlink_to(directory / "made by us")
    with pytest.raises(EmbeddedServerError, match="symbolic link"):
        server.stop()
    assert not (directory / "made by us").exists()
    crash_server(directory)


def test_a_link_to_the_directory(directory: Path) -> None:
    """One of the user's own is followed: it may be there to make a long path short."""
    (directory / "data").mkdir(mode=0o700)
    (directory / "short").symlink_to(directory / "data")
    with EmbeddedServer(directory / "short"):
        assert is_alive(directory / "data")


@only_root
@pytest.mark.parametrize("name", [".", "server.log", "appendonlydir"])
def test_what_belongs_to_another_user(directory: Path, name: str) -> None:
    """The directory, or something in it: refused, with what to do."""
    folder = directory / "data"
    with EmbeddedServer(folder):
        pass
    os.chown(folder / name, SOMEBODY, -1)
    refused(folder, rf"another user \(uid {SOMEBODY}\); use a directory of your own")


@only_root
def test_a_link_of_another_user_to_the_directory(directory: Path) -> None:
    """It is refused: its owner could have us write to any directory of ours."""
    (directory / "data").mkdir(mode=0o700)
    (directory / "link").symlink_to(directory / "data")
    os.chown(directory / "link", SOMEBODY, -1, follow_symlinks=False)
    refused(directory / "link", "belongs to another user")
