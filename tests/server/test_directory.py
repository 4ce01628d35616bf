"""Which directories an embedded server can use, and which are refused."""

import os
import sys
from pathlib import Path

import pytest

from logcommon.exceptions import EmbeddedServerError
from logcommon.server import embedded
from logcommon.server.embedded import EmbeddedServer
from support.embedded import client_of, crash_server, is_alive
from support.programs import run
from support.requirements import required

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
    """It is refused, and both remedies in the error work."""
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
    """It is refused, and the file it points to is left alone."""
    (directory / "data").mkdir(mode=0o700)
    target = directory / "target"
    target.write_text("precious")
    (directory / "data" / name).symlink_to(target)
    refused(directory / "data", f"{name} in it is a symbolic link; remove it")
    assert target.read_text() == "precious"


def test_a_symbolic_link_among_the_data(directory: Path) -> None:
    """The server's own data folder is checked too."""
    with EmbeddedServer(directory):
        pass
    (directory / "appendonlydir" / "link").symlink_to(directory / "start.lock")
    refused(directory, "link in it is a symbolic link")


def test_a_lock_is_never_opened_through_a_link(directory: Path) -> None:
    """Even if the link appears after the directory was checked."""
    server = EmbeddedServer(directory)
    server.start()
    (directory / "start.lock").rename(directory / "aside")
    (directory / "start.lock").symlink_to(directory / "made by us")
    with pytest.raises(EmbeddedServerError, match="symbolic link"):
        server.stop()
    assert not (directory / "made by us").exists()
    crash_server(directory)


def test_a_link_to_the_directory(directory: Path) -> None:
    """The user's own link is followed: it may be there to make a long path short."""
    (directory / "data").mkdir(mode=0o700)
    (directory / "short").symlink_to(directory / "data")
    with EmbeddedServer(directory / "short"):
        assert is_alive(directory / "data")


@only_root
@pytest.mark.parametrize("name", [".", "server.log", "appendonlydir"])
def test_what_belongs_to_another_user(directory: Path, name: str) -> None:
    """The directory, or something in it, is refused with an error that says what to do."""
    folder = directory / "data"
    with EmbeddedServer(folder):
        pass
    os.chown(folder / name, SOMEBODY, -1)
    refused(folder, rf"another user \(uid {SOMEBODY}\); use a directory of your own")


@only_root
def test_a_link_of_another_user_to_the_directory(directory: Path) -> None:
    """It is refused: its owner could make us write to any directory that we can write to."""
    (directory / "data").mkdir(mode=0o700)
    (directory / "link").symlink_to(directory / "data")
    os.chown(directory / "link", SOMEBODY, -1, follow_symlinks=False)
    refused(directory / "link", "belongs to another user")


def test_a_directory_of_another_user_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says whose it is, and to use another one."""
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    refused(directory, rf"belongs to another user \(uid {owner}\); use a directory of your own")


@pytest.mark.parametrize("name", ["with a space", 'it\'s "quoted"', "q?a#b%20;c", "ünïcode"])
def test_any_character_in_the_path(directory: Path, name: str) -> None:
    """The server and, through the URL, the client use the directory's exact name."""
    with EmbeddedServer(directory / name) as server, client_of(server) as client:
        client.set("key", "value")
        assert (directory / name / "server.sock").is_socket()
        assert (directory / name / "appendonlydir").is_dir()


def test_a_path_too_long_for_a_socket(directory: Path) -> None:
    """The error says what to do, and nothing is created; the longest path allowed works."""
    room = embedded._LONGEST_SOCKET - len(os.fsencode(directory / "x" / "server.sock")) + 1
    with pytest.raises(EmbeddedServerError, match="choose a shorter directory"):
        EmbeddedServer(directory / ("x" * (room + 1))).start()
    assert not list(directory.iterdir())
    with EmbeddedServer(directory / ("x" * room)) as server, client_of(server) as client:
        assert client.ping()


def test_a_directory_that_cannot_be_made(directory: Path) -> None:
    """The error is one line with the reason."""
    (directory / "file").touch()
    with pytest.raises(EmbeddedServerError, match=r"^can't use .*/file/below: Not a directory$"):
        EmbeddedServer(directory / "file" / "below").start()


NO_HOME = """
import os, sys
import platformdirs.unix
from logcommon.server import embedded
from logcommon.server.embedded import EmbeddedServer
from logcommon.exceptions import EmbeddedServerError
os.environ.pop("HOME", None)
os.setresuid(int(sys.argv[1]), int(sys.argv[1]), 0)
try:
    EmbeddedServer()
except EmbeddedServerError as error:
    print(error)
os.setresuid(0, 0, 0)  # what measures coverage writes its file as this user
"""


@only_root
def test_a_user_without_a_home() -> None:
    """For a container's numeric user, the error says what to do."""
    finished = run(NO_HOME, str(SOMEBODY))
    assert finished.stderr == ""
    assert finished.stdout == (
        f"user {SOMEBODY} has no home directory to keep data in: "
        "set HOME, or name a directory, as embedded:DIRECTORY\n"
    )


def test_a_home_that_is_not_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused: older versions of platformdirs return a path that begins with ~."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: Path("~/.local/share/logcommon"))
    with pytest.raises(EmbeddedServerError, match="no home directory"):
        EmbeddedServer()


def test_the_folder_of_the_user(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a directory, the platform's folder for a user's data is used."""
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("XDG_DATA_HOME", str(directory / "data"))
    url = EmbeddedServer().url
    assert url.startswith(f"unix://{directory}")
    assert url.endswith("/logcommon/server.sock")


def test_the_folder_of_the_user_needs_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `platformdirs`, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(EmbeddedServerError, match=f"pip install {required('embedded')}"):
        EmbeddedServer()
