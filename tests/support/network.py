"""A network inside the process, in front of an imitation of Redis, and an event loop without waits.

Nothing depends on chance or on the machine's speed: what happens is what the test asked for.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal, get_args

from fakeredis import FakeAsyncRedis, FakeServer
from fakeredis.aioredis import AsyncFakeSocket, FakeAsyncRedisConnection
from hiredis import pack_command
from redis.exceptions import ConnectionError as LostConnectionError

Fault = Literal[
    "slow",
    "cut before",
    "drop reply",
    "no answer",
    "deliver meanwhile",
    "deliver after",
    "deliver late",
]
"""What is delivered meanwhile arrives as the client tries again; after, once that has succeeded;
late, when the test says so."""

FAULTS: tuple[Fault, ...] = get_args(Fault)

TRANSIT = 0.01
"""Seconds that what is sent is under way, and its reply as well."""

_SLOW = 1.0
_DELAYS: dict[Fault, float] = {"deliver meanwhile": 0.045, "deliver after": 0.15}
_EMPTY_TRANSACTION = pack_command(("MULTI",)) + pack_command(("EXEC",))


class Network:
    """The way from one client to the server.

    `faults` says what happens to the next transactions, one each; past its end they pass. The empty
    transaction with which a connection is tried does not count as one.
    """

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._is_last = self._is_cut_off = False
        self.faults: deque[Fault] = deque()
        self.late: deque[tuple[AsyncFakeSocket, bytes]] = deque()
        self.before_next: Callable[[], Awaitable[None]] = _nothing
        """What happens on the server just before the next transaction gets there."""
        self.broken = 0
        """How many of the faults so far have kept a reply from the client."""

    def client(self) -> FakeAsyncRedis:
        """Return a client of the server whose connections go through here."""
        client = FakeAsyncRedis(server=self._server)
        client.connection_pool.connection_class = _Connection
        client.connection_pool.connection_kwargs["network"] = self
        return client

    def end(self, last: Fault | None) -> None:
        """Let nothing through any more, after `last` has happened to one more transaction."""
        self.faults = deque([last] if last else [])
        self._is_last, self._is_cut_off = last is not None, last is None

    async def send(self, connection: "_Connection", data: bytes) -> None:
        """Deliver `data` to the server, or do the next fault to it."""
        await asyncio.sleep(TRANSIT)
        if self._is_cut_off:
            raise LostConnectionError("the network is gone")
        if b"\r\nEXEC\r\n" in data and not data.startswith(_EMPTY_TRANSACTION):
            await self._transact(connection, data)
        else:
            connection.socket.sendall(data)
        await asyncio.sleep(TRANSIT)

    async def _transact(self, connection: "_Connection", data: bytes) -> None:
        fault = self._next_fault()
        before, self.before_next = self.before_next, _nothing
        await before()
        if fault == "slow":
            await asyncio.sleep(_SLOW)
        socket = connection.socket

        if fault == "deliver late":
            # The server's end of the connection is kept, with all that it watches.
            self.late.append((socket, data))
        elif fault in _DELAYS:
            asyncio.get_running_loop().call_later(_DELAYS[fault], socket.sendall, data)
        elif fault != "cut before":
            socket.sendall(data)

        if fault not in (None, "slow"):
            await self._keep_the_reply(fault)

    async def _keep_the_reply(self, fault: Fault) -> None:
        self.broken += 1
        await asyncio.sleep(TRANSIT)
        if fault == "no answer":
            await asyncio.Event().wait()
        raise LostConnectionError(fault)

    def deliver_late(self) -> None:
        """Deliver what was held back to the server."""
        while self.late:
            socket, data = self.late.popleft()
            socket.sendall(data)

    def _next_fault(self) -> Fault | None:
        if not self.faults:
            return None
        self._is_cut_off = self._is_last
        return self.faults.popleft()


async def _nothing() -> None:
    pass


class _Connection(FakeAsyncRedisConnection):
    """A connection to the imitation, through a network."""

    def __init__(self, *, network: Network, **settings: Any) -> None:  # redis-py's
        super().__init__(**settings)
        self._network = network

    @property
    def socket(self) -> AsyncFakeSocket:
        if self._sock is None:
            raise LostConnectionError("the connection is closed")
        return self._sock

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        await self._network.send(self, b"".join(command))


class UnhurriedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves only when all tasks wait, and then at once to the next timer.

    So a pause or a time-out takes no time, and each happens in the same order in every run.
    """

    def __init__(self) -> None:
        self._selector_of_time = _SkippingSelector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        return self._selector_of_time.skipped


class _SkippingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "every task waits, and for nothing that will come"
        self.skipped += timeout
        return super().select(0)
