"""A server in this process, for tests: it answers the commands that this package sends.

Clients talk to it as they do to Redis, so nothing that decides or counts is written twice. It has
no more of Redis than that: keys don't expire, and a key is never of another type.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import hiredis
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004  # redis-py's own

from logcommon.runtime.fork import begin_anew_in_children
from logcommon.schema.commands import Reply


class MemoryServer:
    """The keys and their values. Its connections may be used in any thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held while commands that were sent together are executed."""
        self.values: dict[bytes, Any] = {}
        self.commits = 0
        """How many transactions were executed."""
        begin_anew_in_children(self)

    def erase(self) -> None:
        """Delete all counts and recent entries; hours and markers, which clients rely on, stay."""
        with self.lock:
            for key, value in list(self.values.items()):
                if not isinstance(value, bytes):
                    del self.values[key]

    def _begin_in_child(self) -> object:
        """Replace the lock, which a thread of the parent may hold."""
        self.lock, parents = threading.RLock(), self.lock
        return parents

    def execute(self, command: Sequence[bytes]) -> Reply:
        """Return the reply to a command; an error reply is returned, not raised."""
        name, *arguments = command
        answer = getattr(self, f"_{name.decode().lower()}", None)
        if answer is None:
            return ResponseError(f"unknown command {name.decode()!r}")
        try:
            return answer(*arguments)
        except ResponseError as error:
            return error

    def _time(self) -> Reply:
        seconds = time.time()
        return [b"%d" % seconds, b"%d" % (seconds % 1 * 1e6)]

    def _wait(self, replicas: bytes, _timeout: bytes) -> Reply:
        return int(replicas)  # there is nothing to wait for

    def _get(self, key: bytes) -> Reply:
        return self.values.get(key)

    def _mget(self, *keys: bytes) -> Reply:
        return [self.values.get(key) for key in keys]

    def _exists(self, *keys: bytes) -> Reply:
        return sum(key in self.values for key in keys)

    def _set(self, key: bytes, value: bytes, *_expiry: bytes) -> Reply:
        self.values[key] = value
        return b"OK"

    def _del(self, *keys: bytes) -> Reply:
        return sum(self.values.pop(key, None) is not None for key in keys)

    def _rename(self, old: bytes, new: bytes) -> Reply:
        if old not in self.values:
            raise ResponseError("no such key")
        self.values[new] = self.values.pop(old)
        return b"OK"

    def _expire(self, key: bytes, _seconds: bytes) -> Reply:
        return int(key in self.values)

    def _zincrby(self, key: bytes, amount: bytes, member: bytes) -> Reply:
        scores = self.values.setdefault(key, {})
        scores[member] = scores.get(member, 0) + int(amount)
        return scores[member]

    def _zcard(self, key: bytes) -> Reply:
        return len(self.values.get(key, ()))

    def _zmscore(self, key: bytes, *members: bytes) -> Reply:
        return [self.values.get(key, {}).get(member) for member in members]

    def _zrevrange(self, key: bytes, first: bytes, last: bytes, _with_scores: bytes) -> Reply:
        pairs = [(score, member) for member, score in self.values.get(key, {}).items()]
        ranked = sorted(pairs, reverse=True)[int(first) : int(last) + 1]
        return [[member, score] for score, member in ranked]

    def _lpush(self, key: bytes, *texts: bytes) -> Reply:
        self.values[key] = [*reversed(texts), *self.values.get(key, ())]
        return len(self.values[key])

    def _ltrim(self, key: bytes, first: bytes, last: bytes) -> Reply:
        self.values[key] = self._lrange(key, first, last)
        return b"OK"

    def _lrange(self, key: bytes, first: bytes, last: bytes) -> Reply:
        return self.values.get(key, [])[int(first) : int(last) + 1]

    def _sadd(self, key: bytes, *members: bytes) -> Reply:
        self.values.setdefault(key, set()).update(members)
        return len(members)

    def _smembers(self, key: bytes) -> Reply:
        return list(self.values.get(key, ()))


class MemoryRedis(Redis):
    """A client of a server in memory, as far as this package uses one."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(connection_pool=cast("ConnectionPool", _Pool(server)))
        self.server = server


class _Pool:
    """What this package uses of `redis.asyncio.ConnectionPool`."""

    def __init__(self, server: MemoryServer) -> None:
        self.connection_class = _Connection
        self.connection_kwargs = {"server": server}

    async def get_connection(self) -> "_Connection":
        connection = self.connection_class(**self.connection_kwargs)
        await connection.connect()
        return connection

    async def release(self, connection: "_Connection") -> None:
        await connection.disconnect()

    async def aclose(self) -> None:
        """Do nothing: its connections are made for each use."""


class _Connection:
    """What this package uses of `redis.asyncio.Connection`."""

    def __init__(self, server: MemoryServer, **_settings: object) -> None:
        self._server = server
        self._watched: dict[bytes, Reply] = {}
        self._queue: list[Sequence[bytes]] | None = None
        self._replies: deque[Reply] = deque()
        self.is_connected = False

    async def connect(self) -> None:
        self.is_connected = True

    async def can_read(self) -> bool:
        return bool(self._replies)

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002
        self._watched, self._queue = {}, None
        self._replies.clear()
        self.is_connected = False

    async def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        parser = hiredis.Reader()
        parser.feed(b"".join(command))
        with self._server.lock:
            while (parsed := parser.gets()) is not False:
                self._replies.append(self._answer(cast("list[bytes]", parsed)))

    async def read_response(self, *, disable_decoding: bool = False) -> Reply:
        if not self._replies:
            raise ConnectionError("the connection is closed")
        reply = self._replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _answer(self, command: list[bytes]) -> Reply:
        name, *keys = command
        if name == b"WATCH":
            # Only strings are watched. One that changes and changes back counts as unchanged.
            self._watched.update((key, self._server.values.get(key)) for key in keys)
        elif name == b"MULTI":
            self._queue = []
        elif name == b"EXEC":
            return self._execute_queue()
        elif self._queue is not None:
            self._queue.append(command)
            return b"QUEUED"
        else:
            return self._server.execute(command)
        return b"OK"

    def _execute_queue(self) -> Reply:
        queue, watched = self._queue or [], self._watched
        self._queue, self._watched = None, {}
        if any(self._server.values.get(key) != value for key, value in watched.items()):
            return None
        self._server.commits += 1
        return [self._server.execute(command) for command in queue]
