"""A thread that keeps a client open: when it opens and closes it, and whom it answers."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from logcommon import ClientClosedError, SpoolError
from logcommon.runtime import keeper as keeper_module
from logcommon.runtime.keeper import Keeper
from logcommon.runtime.keepers import Keepers
from support.until import until


class Client:
    """Notes what is done with it; opens as soon as `gate` is set."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None

    async def __aenter__(self) -> object:
        await until(self.gate.is_set)
        if self.fault is not None:
            raise self.fault
        self.events.append("open")
        return self

    async def close_within(self, timeout: float) -> None:
        self.events.append(("close", timeout))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def keepers(client: Client) -> Iterator[Keepers]:
    """The keepers of the client, which note with it what they report; all ended at the end."""
    keepers = Keepers(
        client,
        5.0,
        lambda _: client.events.append("on open"),
        lambda: client.events.append("on close"),
        client.events.append,
    )

    yield keepers
    client.gate.set()
    keepers.close(0)
    keepers.join(time.monotonic() + 30)
    assert not keepers.is_alive


def started(keepers: Keepers) -> Keeper:
    keeper = keepers.require()
    assert keeper is not None
    return keeper


async def work() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise ZeroDivisionError


def test_it_opens_and_closes_the_client(client: Client, keepers: Keepers) -> None:
    """It reports before and after, and gives the close the time that it was told."""
    keeper = started(keepers)
    keeper.call(work, float("inf"))
    keeper.close(3.0)
    keeper.join(30)
    assert client.events == ["open", "on open", "on close", ("close", 3.0)]
    assert not keeper.is_alive


def test_work_is_done_in_its_thread(keepers: Keepers) -> None:
    """Its result and its error come back to the caller."""
    keeper = started(keepers)
    assert keeper.call(work, float("inf")) == "logcommon"
    with pytest.raises(ZeroDivisionError):
        keeper.call(fail, float("inf"))


def test_work_waits_until_the_client_is_open(client: Client, keepers: Keepers) -> None:
    """Until then a call with a deadline is told that time ran out."""
    client.gate.clear()
    keeper = started(keepers)
    with pytest.raises(TimeoutError):
        keeper.call(work, 0)
    client.gate.set()
    assert keeper.call(work, float("inf")) == "logcommon"


def test_work_for_one_that_has_ended(keepers: Keepers) -> None:
    """Whoever comes too late is told so, and does not wait."""
    keeper = started(keepers)
    keeper.close(0)
    keeper.join(30)
    keeper.close(0)
    with pytest.raises(ClientClosedError):
        keeper.call(work, float("inf"))


def test_a_client_that_can_not_be_opened(client: Client, keepers: Keepers) -> None:
    """The error is reported, whoever waits is told, and there is no new keeper for a while."""
    client.fault = SpoolError("spool", "it is in use")
    client.gate.clear()
    keeper = started(keepers)

    replies: list[object] = []
    keeper.submit(work, replies.append)
    client.gate.set()

    keeper.join(30)
    assert client.events == [client.fault]
    assert replies == [None]
    assert keepers.require() is None


def test_one_keeper_of_a_client_is_active(client: Client, keepers: Keepers) -> None:
    """A second one, as from a race of two threads, ends without opening the client."""
    started(keepers).call(work, float("inf"))
    second = keepers.make()
    second.run()
    assert not second.is_alive
    assert client.events == ["open", "on open"]


def test_the_next_keeper_waits_for_one_that_is_closing(client: Client, keepers: Keepers) -> None:
    """While one closes the client another one can be had, which opens it again afterwards."""
    first = started(keepers)
    assert keepers.require() is first
    first.call(work, float("inf"))
    first.close(1.0)
    first.join(30)

    second = started(keepers)
    assert second is not first
    second.call(work, float("inf"))
    assert client.events.count("open") == 2
    assert client.events.index(("close", 1.0)) == 3


async def test_without_a_thread(client: Client, keepers: Keepers) -> None:
    """The caller's thread opens and closes the client, even inside a running event loop."""
    keepers.run_here(2.0)
    assert client.events[-1] == ("close", 2.0)
    assert asyncio.get_running_loop()


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch, keepers: Keepers) -> None:
    """At Python's exit there is no keeper, and nothing raises."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    assert keepers.require() is None
    assert not keepers.is_alive


async def test_what_would_need_a_thread_is_called_in_this_one() -> None:
    """The keeper's loop calls at once, and gives results and errors to whoever awaits them."""

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, threading.get_ident) == threading.get_ident()
        assert await loop.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM)
        failing = loop.run_in_executor(None, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await failing

    def run() -> None:
        with asyncio.Runner(loop_factory=keeper_module._Loop) as runner:
            runner.run(ask())

    await asyncio.to_thread(run)


def test_closing_again_changes_nothing(client: Client, keepers: Keepers) -> None:
    """The client is closed once, within the time that was said first."""
    client.gate.clear()
    assert keepers.require() is not None
    keepers.close(1)
    keepers.close(2)
    client.gate.set()
    keepers.join(time.monotonic() + 30)
    assert client.events.count("on close") == 1
    assert [each for each in client.events if isinstance(each, tuple)] == [("close", 1)]
