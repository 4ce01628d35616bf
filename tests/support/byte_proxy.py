"""A TCP proxy that counts bytes and, after a given number, cuts, holds or swallows the rest."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import hiredis

from support.listener import Listener
from support.until import until

Direction = Literal["to server", "to client"]


@dataclass(slots=True)
class Fault:
    """What happens after exactly `after` more bytes in one direction; 0 means with the next byte.

    "cut" ends the connection, "hold" keeps back what follows until `release` is called, and
    "swallow" loses what follows and keeps the connection open.
    """

    kind: Literal["cut", "hold", "swallow"]
    direction: Direction
    after: int
    passed: dict[Direction, bytes] = field(default_factory=dict)
    """What had passed, since `forget` was called, when it happened."""


class ByteProxy(Listener):
    """Forwards connections to a server on loopback, and records what it forwards.

    `faults` happen one after the other, across all connections: bytes count for the next fault once
    the one before has happened. After the last one everything passes.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self._server_port = port
        self._released = asyncio.Event()
        self.faults: deque[Fault] = deque()
        self.happened: list[Fault] = []
        self.swallowed = 0
        self.forget()

    def forget(self) -> None:
        """Clear the record of what has passed."""
        self.passed: dict[Direction, bytes] = {"to server": b"", "to client": b""}

    def release(self) -> None:
        """Forward what is held."""
        self._released.set()

    async def faults_happen(self) -> None:
        """Wait until the last fault has happened."""
        await until(lambda: not self.faults)

    async def _link(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            await self._forward(client, to_client, server, to_server)
        finally:
            to_server.close()

    async def _forward(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        pumps = [
            asyncio.create_task(self._pump("to server", client, to_server)),
            asyncio.create_task(self._pump("to client", server, to_client)),
        ]

        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            last = await asyncio.gather(*pumps, return_exceptions=True)

        for_server, for_client = (data if isinstance(data, bytes) else b"" for data in last)
        # Only now, when no answer can get through any more.
        to_server.write(for_server)
        if for_client:
            to_client.write(for_client)
            to_client.write_eof()  # at once: the client must not take this for a usable connection
        else:
            _reset_at_close(to_client)

        await _finish(server, to_server)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        """Forward until the end or a cut; return what is still to be forwarded before the cut."""
        swallows = False
        while data := await _read(reader):
            before, fault = (b"", None) if swallows else self._until_fault(direction, data)
            kind, after = fault and fault.kind, data[len(before) :]
            if kind == "cut":
                return before
            writer.write(before)
            if kind == "hold":
                self._released.clear()
                await self._released.wait()
                self.passed[direction] += after
                writer.write(after)
            elif kind == "swallow" or swallows:
                swallows = True
                self.swallowed += len(after)

        return b""

    def _until_fault(self, direction: Direction, data: bytes) -> tuple[bytes, Fault | None]:
        """Return what of `data` passes, and the fault that happens then."""
        fault = self.faults[0] if self.faults else None
        if fault is not None and (fault.direction != direction or fault.after > len(data)):
            fault.after -= len(data) * (fault.direction == direction)
            fault = None
        passes = data if fault is None else data[: fault.after]
        self.passed[direction] += passes
        if fault is not None:
            self.happened.append(self.faults.popleft())
            fault.passed = dict(self.passed)
        return passes, fault


def whole(data: bytes) -> list[object]:
    """Return the requests, or the replies, that are complete in `data`."""
    reader, items = hiredis.Reader(), []
    reader.feed(data)
    while (item := reader.gets()) is not False:
        items.append(item)
    return items


async def _read(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await reader.read(1 << 16)
    return b""


async def _finish(server: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
    """Let the server execute what it received before the client learns of the cut."""
    with contextlib.suppress(OSError):
        to_server.write_eof()
    while await _read(server):
        pass


def _reset_at_close(writer: asyncio.StreamWriter) -> None:
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
