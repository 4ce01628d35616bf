"""Which program runs for `embedded:`, and the errors if it does not start."""

import os
import time
from importlib import metadata
from pathlib import Path

import pytest

from logcommon.exceptions import EmbeddedServerError
from logcommon.server import embedded
from logcommon.server.embedded import EmbeddedServer
from logcommon.server.program import find_program
from support.embedded import client_of, is_alive
from support.requirements import required


def no_wheel(name: str) -> None:
    """Act as `metadata.files` if the wheel is not installed."""
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
    (programs / name).symlink_to(find_program())
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", str(programs))
    with EmbeddedServer(directory):
        assert is_alive(directory)


def test_a_refused_start_quotes_the_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error quotes a program that fails at once."""
    program = directory / "valkey-server"
    program.write_text("#!/bin/sh\necho 'no memory for this' >&2\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises(EmbeddedServerError, match="does not start: no memory for this"):
        EmbeddedServer(directory).start()


def test_a_program_that_cannot_be_run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the program and the reason."""
    program = directory / "valkey-server"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o700)
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises(EmbeddedServerError, match=r"can't run .*/valkey-server: Exec format error"):
        EmbeddedServer(directory).start()


def test_a_start_that_a_signal_ends_is_repeated(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the starting server too, until it has a session of its own."""
    program = directory / "valkey-server"
    killed = f"[ -e {directory}/once ] || {{ touch {directory}/once; kill -INT $$; }}"
    program.write_text(f'#!/bin/sh\n{killed}\nexec {find_program()} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setattr(metadata, "files", no_wheel)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    with EmbeddedServer(directory):
        assert is_alive(directory)
    assert (directory / "once").exists()


def test_a_failed_start_quotes_the_log(directory: Path) -> None:
    """If the server ends while it loads its data, the start fails at once and quotes its log."""
    with EmbeddedServer(directory) as server, client_of(server) as client:
        client.set("key", "value")
    for file in (directory / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"not a command\r\n" * 10)
    began = time.monotonic()
    with pytest.raises(EmbeddedServerError, match=r"ended while starting: .*[Bb]ad file format"):
        EmbeddedServer(directory).start()
    assert time.monotonic() - began < embedded._TIMEOUT
