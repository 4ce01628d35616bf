"""Of `logcommon.server.embedded`: a real server, started, killed and stopped."""

import fcntl
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from logcommon.exceptions import EmbeddedServerError
from logcommon.server import embedded
from logcommon.server.embedded import EmbeddedServer
from logcommon.server.locks import FileLock
from support.embedded import (
    client_of,
    crash_server,
    eventually,
    is_alive,
    pretended_server,
    server_pid,
)


def test_starts_answers_and_stops(directory: Path) -> None:
    """The server runs between start and stop, and leaves neither process nor socket behind."""
    server = EmbeddedServer(directory)
    server.start()
    with client_of(server) as client:
        assert client.ping()
    server.stop()
    assert not is_alive(directory)
    assert not (directory / "server.sock").exists()
    assert not (directory / "server.pid").exists()


def test_data_survives_a_stop(directory: Path) -> None:
    """Data written before a stop is there after the next start."""
    with EmbeddedServer(directory) as server, client_of(server) as client:
        client.set("key", "value")
    with EmbeddedServer(directory) as server, client_of(server) as client:
        assert client.get("key") == "value"


def test_is_for_its_user_alone(directory: Path) -> None:
    """It has no TCP port, and no other user can open its folder or anything in it."""
    folder = directory / "deep" / "folder"
    with EmbeddedServer(folder) as server, client_of(server) as client:
        client.set("key", "value")
        assert client.config_get("port") == {"port": "0"}
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_logs_do_not_pile_up(directory: Path) -> None:
    """Only the logs of the last two runs are kept, each in its file."""
    for _ in range(3):
        with EmbeddedServer(directory):
            pass
    logs = sorted(directory.glob("*log*"))
    assert [log.name for log in logs] == ["server.log", "server.log.old"]
    assert [log.read_text().count("Ready to accept") for log in logs] == [1, 1]


def test_has_a_session_of_its_own(directory: Path) -> None:
    """So Ctrl-C in the program's terminal does not reach the server."""
    with EmbeddedServer(directory):
        pid = server_pid(directory)
        assert os.getsid(pid) == pid
        assert os.getpgid(pid) == pid


def test_data_survives_a_killed_server(directory: Path) -> None:
    """The next start replaces a killed server, with all data that it had acknowledged."""
    with EmbeddedServer(directory) as server, client_of(server) as client:
        for number in range(1000):
            client.rpush("list", number)
        crash_server(directory)
    with EmbeddedServer(directory) as server, client_of(server) as client:
        assert client.llen("list") == 1000


def test_start_revives_a_killed_server(directory: Path) -> None:
    """If the server was killed, calling `start` again starts another."""
    with EmbeddedServer(directory) as server:
        crash_server(directory)
        server.start()
        assert is_alive(directory)
    assert not is_alive(directory)


def test_a_stale_socket_is_replaced(directory: Path) -> None:
    """A socket file that no server listens on does not prevent a start."""
    with EmbeddedServer(directory):
        crash_server(directory)
    assert (directory / "server.sock").exists()
    with EmbeddedServer(directory):
        assert is_alive(directory)


def test_a_deleted_socket_makes_no_second_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a server runs that can't be reached, a start fails: two servers would ruin the data."""
    monkeypatch.setattr(embedded, "_TIMEOUT", 0.5)
    first, hidden = EmbeddedServer(directory), directory / "hidden"
    first.start()
    (directory / "server.sock").rename(hidden)
    with pytest.raises(EmbeddedServerError, match=r"does not answer after 0\.5 s: .*Ready"):
        EmbeddedServer(directory).start()
    hidden.rename(directory / "server.sock")
    first.stop()


def test_a_loading_server_is_waited_for(directory: Path) -> None:
    """A start returns when the server has loaded its data, and not before."""
    loading = b"-LOADING Valkey is loading the dataset in memory\r\n"
    server = EmbeddedServer(directory)
    with pretended_server(directory, [loading, loading, loading, b"+PONG\r\n", b""]):
        server.start()
        server.stop()


def test_a_server_that_refuses_to_stop(directory: Path) -> None:
    """If the server can't save its data, the error quotes what it says."""
    server = EmbeddedServer(directory)
    refusal = b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
    with pretended_server(directory, [b"+PONG\r\n", refusal]):
        server.start()
        with pytest.raises(EmbeddedServerError, match=r"refuses to stop \(-ERR Errors"):
            server.stop()


def test_stop_waits_until_the_server_is_gone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the server does not end, `stop` raises instead of returning."""
    server = EmbeddedServer(directory)
    server.start()
    pid = server_pid(directory)

    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(embedded, "_TIMEOUT", 0.2)
    try:
        with pytest.raises(EmbeddedServerError, match="has not ended"):
            server.stop()
    finally:
        os.kill(pid, signal.SIGCONT)

    eventually(lambda: not is_alive(directory))
    monkeypatch.undo()
    with EmbeddedServer(directory):  # waits for the old one, which may still be writing its log
        assert server_pid(directory) != pid


def test_there_is_none_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to use instead."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EmbeddedServerError, match="give the URL of a server"):
        EmbeddedServer()


def test_a_user_that_is_stuck_while_leaving(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start ends in an error, and works again once that user has left."""
    leaving = FileLock(directory / "users.lock")
    assert leaving.acquire()
    monkeypatch.setattr(embedded, "_TIMEOUT", 0.5)
    with (
        pretended_server(directory, [b"+PONG\r\n"]),
        pytest.raises(EmbeddedServerError, match="is being left by a process that is stuck"),
    ):
        EmbeddedServer(directory).start()

    leaving.release()
    monkeypatch.undo()
    with EmbeddedServer(directory):
        assert is_alive(directory)


def test_a_process_that_is_stuck_blocks_nobody_for_ever(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process never finishes its start or stop, ours raises an error."""
    monkeypatch.setattr(embedded, "_TIMEOUT", 0.1)
    with (directory / "start.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedServerError, match="stuck"):
            EmbeddedServer(directory).start()
