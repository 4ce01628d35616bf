"""A TCP proxy that recognises EXEC, and does to it what a network can do."""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Literal

from support.listener import Listener
from support.until import until

Fault = Literal["pass", "drop reply", "cut before", "deliver late"]


class Proxy(Listener):
    """Forwards connections to a server on loopback.

    `faults` says what happens to the next transactions, one each; after the last they pass.
    The empty transaction that tries a new connection does not count. With `holds`,
    no connection gets through after a fault until the test sets `gate`.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self._server_port = port
        self._late: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]] = []
        self.faults: deque[Fault] = deque()
        self.seen = 0
        self.applied: list[Fault] = []
        self.holds = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        for _, writer, _ in self._late:
            writer.close()

    async def deliver_late(self, number: int = 0) -> list[bytes]:
        """Send the transactions that were held back, at least `number`; return the answers."""
        await until(lambda: len(self._late) >= number)
        answers = []
        for reader, writer, data in self._late:
            writer.write(data)
            writer.write_eof()
            answers.append(await reader.read())
            writer.close()
        self._late.clear()
        return answers

    async def applies(self, number: int) -> None:
        """Wait until so many transactions have been seen."""
        await until(lambda: self.seen >= number)

    async def _link(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        await self.gate.wait()
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        held = False
        back = asyncio.create_task(_pump(server, to_client))

        try:
            pending = b""
            while data := await client.read(1 << 16):
                pending += data
                commands, pending = _split(pending)
                fault = self._fault(commands)
                if fault == "cut before":
                    return
                if fault == "deliver late":
                    held = True
                    back.cancel()
                    await asyncio.wait([back])
                    self._late.append((server, to_server, b"".join(commands)))
                    return
                if fault == "drop reply":
                    back.cancel()
                    await asyncio.wait([back])
                    to_server.write(b"".join(commands))
                    to_server.write_eof()
                    await server.read()  # to its end: then the server has executed all of it
                    return
                to_server.write(b"".join(commands))
        finally:
            back.cancel()
            if not held:
                to_server.close()

    def _fault(self, commands: list[bytes]) -> Fault:
        names = [command.split(b"\r\n")[2] for command in commands]
        if b"EXEC" not in names or names[names.index(b"EXEC") - 1] == b"MULTI":
            return "pass"
        self.seen += 1
        fault = self.faults.popleft() if self.faults else "pass"
        self.applied.append(fault)
        if self.holds and fault != "pass":
            self.gate.clear()
        return fault


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.close()


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole requests in `data`, and the rest."""
    commands = list(_requests(data))
    return commands, data[sum(map(len, commands)) :]


def _requests(data: bytes) -> Iterator[bytes]:
    start = 0
    while (end := _end_of_request(data, start)) is not None:
        yield data[start:end]
        start = end


def _end_of_request(data: bytes, start: int) -> int | None:
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    count, position = int(data[start + 1 : line]), line + 2

    for _ in range(count):
        line = data.find(b"\r\n", position)
        if line < 0:
            return None
        position = line + 2 + int(data[position + 1 : line]) + 2
        if position > len(data):
            return None

    return position
