"""The hooks by which a process that ends closes its clients, one by one and with stand-ins."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace

import pytest

from logcommon.runtime import ending


class Client:
    """A client with something to write, which takes a look or two until it is closed."""

    close_timeout = 5.0

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._looks = 2

    def begin_close(self) -> None:
        self.calls.append("begin")

    def is_closing(self) -> bool:
        self._looks -= 1
        return self._looks > 0

    def finish_close(self, deadline: float) -> None:
        self.calls.append("finish")


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[ending._State]:
    """A process about whose end nothing is known yet, with the default action of SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    state = ending._State()
    monkeypatch.setattr(ending, "_STATE", state)
    yield state
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def client() -> Client:
    client = Client()
    ending.close_at_exit(client)
    return client


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: object) -> ModuleType:
    """Put a module with these attributes in the place of another."""
    module = ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def test_all_clients_are_closed_at_the_same_time(client: Client) -> None:
    """Each begins before the first is waited for."""
    order: list[str] = []
    other = Client()
    client.calls = other.calls = order
    ending.close_at_exit(other)
    ending.close_all()
    assert order == ["begin", "begin", "finish", "finish"]


def test_a_client_that_is_forgotten_is_not_closed(client: Client) -> None:
    """One that has nothing to write is left alone."""
    ending.forget(client)
    ending.forget(client)
    ending.close_all()
    assert client.calls == []


def test_only_the_main_thread_installs_all_hooks() -> None:
    """Elsewhere signals can't be handled: whoever asks is told to try again."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(ending.install_exit_hooks()))
    thread.start()
    thread.join()
    assert answers == [False]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert ending.install_exit_hooks()
    assert ending.install_exit_hooks()
    assert signal.getsignal(signal.SIGTERM) is ending._terminate


def test_a_handler_of_the_program_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a handler of Python nor one that uWSGI has set in C is replaced."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ending.install_exit_hooks()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setattr(ending, "_STATE", ending._State())
    stand_in(monkeypatch, "uwsgi")
    ending.install_exit_hooks()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_sigterm_changes_nothing(client: Client, state: ending._State) -> None:
    """Supervisors send it twice: the first one is being handled."""
    state.is_terminating = True
    ending._terminate(signal.SIGTERM, None)
    assert client.calls == []


@pytest.mark.parametrize("fails", [False, True])
async def test_uvicorn(monkeypatch: pytest.MonkeyPatch, client: Client, fails: bool) -> None:
    """Clients are closed after the shutdown of a server, and calls after that write at once."""
    shut_down: list[str] = []

    class Server:
        async def shutdown(self, sockets: str) -> str:
            """Shut down."""
            shut_down.append(sockets)
            if fails:
                raise OSError
            return "done"

    stand_in(monkeypatch, "uvicorn.server", Server=Server)
    ending.install_exit_hooks()
    hooked = Server.shutdown
    ending._hook_uvicorn()
    assert Server.shutdown is hooked
    assert not ending.must_write_at_once()

    (result,) = await asyncio.gather(Server().shutdown("sockets"), return_exceptions=True)
    assert isinstance(result, OSError) if fails else result == "done"
    assert (shut_down, client.calls) == (["sockets"], ["begin", "finish"])
    assert ending.must_write_at_once()


def test_celery(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    """The signal of a worker's end closes clients."""
    receivers: dict[str, Callable[..., None]] = {}

    def connect(receiver: Callable[..., None], *, weak: bool, dispatch_uid: str) -> None:
        assert not weak
        receivers[dispatch_uid] = receiver

    worker_process_shutdown = SimpleNamespace(connect=connect)
    stand_in(monkeypatch, "celery.signals", worker_process_shutdown=worker_process_shutdown)
    ending.install_exit_hooks()
    receivers["logcommon"](pid=1, exitcode=0)
    assert client.calls == ["begin", "finish"]
    assert ending.must_write_at_once()


def test_frameworks_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of their names that have nothing to hook into are passed over."""
    stand_in(monkeypatch, "uvicorn.server")
    stand_in(monkeypatch, "celery.signals")
    assert ending.install_exit_hooks()


async def test_a_client_that_does_not_close_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop waits for it until its deadline, and then goes on."""
    client = Client()
    client.close_timeout = 0.0
    monkeypatch.setattr(client, "is_closing", lambda: True)
    ending.close_at_exit(client)
    await ending.close_all_in_loop()
    assert client.calls == ["begin", "finish"]
