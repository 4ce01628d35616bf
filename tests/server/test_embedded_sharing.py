"""One embedded server with many users: objects, processes, killed and forked ones."""

from pathlib import Path

from logcommon.server.embedded import EmbeddedServer
from support.embedded import DEADLINE, USER, Programs, client_of, is_alive, line_of, server_pid

PROCESSES = 6

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


def test_two_users_share_and_the_last_one_stops(directory: Path) -> None:
    """When the first of two users leaves, the server stays; when the second leaves, it ends."""
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
    """Processes that start at the same moment get one server, which runs until all have left."""
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
    """Processes that start and stop it at the same time always get a server, with all data."""
    users = [programs.run(CHURN) for _ in range(PROCESSES)]
    for user in users:
        assert user.communicate(timeout=2 * DEADLINE)[1] == ""
    assert not is_alive(directory)
    with EmbeddedServer(directory) as server, client_of(server) as client:
        assert client.get("counter") == str(5 * PROCESSES)


def test_a_killed_user_does_not_keep_the_server(directory: Path, programs: Programs) -> None:
    """A killed user is no user any more: the next one joins, leaves and stops the server."""
    user = programs.run_user()
    pid = server_pid(directory)
    user.kill()
    user.communicate(timeout=DEADLINE)
    with EmbeddedServer(directory):
        assert server_pid(directory) == pid
    assert not is_alive(directory)


def test_a_killed_user_does_not_take_the_server_along(directory: Path, programs: Programs) -> None:
    """If the user that started the server is killed, the others still have it."""
    user = programs.run_user()
    with EmbeddedServer(directory) as server, client_of(server) as client:
        user.kill()
        user.communicate(timeout=DEADLINE)
        assert client.ping()


def test_a_forked_child_is_no_user(directory: Path, programs: Programs) -> None:
    """A child's `stop` leaves the parent its server, and a child that lives on holds no lock."""
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
    """If the child calls `start` itself, the server stays when the parent leaves."""
    child = programs.run(CHILD_USER)
    assert line_of(child) == "started\n"
    assert line_of(child) == "parent left\n"
    assert is_alive(directory)
    assert child.communicate("leave\n", timeout=DEADLINE)[1] == ""
    assert not is_alive(directory)
