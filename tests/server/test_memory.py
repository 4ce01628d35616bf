"""The server in memory, where it has to be as strict as a real one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004  # redis-py's own

from logcommon.server.connection import Connection, dedicated_connection, exchange, is_usable
from logcommon.server.memory import MemoryRedis, MemoryServer


async def connection_to(server: MemoryServer) -> Connection:
    connection = dedicated_connection(MemoryRedis(server))
    await connection.connect()
    return connection


async def test_a_transaction_is_aborted_if_a_watched_key_has_changed() -> None:
    """Also if it did not exist before; the next transaction watches nothing any more."""
    server = MemoryServer()
    first, second = await connection_to(server), await connection_to(server)
    await exchange(first, [(b"WATCH", b"marker")])
    await exchange(second, [(b"SET", b"marker", b"1")])

    transaction = [(b"MULTI",), (b"SET", b"marker", b"2"), (b"EXEC",)]
    assert await exchange(first, transaction) == [b"OK", b"QUEUED", None]
    assert await exchange(first, transaction) == [b"OK", b"QUEUED", [b"OK"]]
    assert (server.values, server.commits) == ({b"marker": b"2"}, 1)


async def test_commands_that_are_sent_together_are_executed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While they are, a connection in another thread waits."""
    server, free = MemoryServer(), []

    def execute(_: MemoryServer, command: object) -> None:
        with ThreadPoolExecutor(1) as pool:
            free.append(pool.submit(server.lock.acquire, blocking=False).result())

    monkeypatch.setattr(MemoryServer, "execute", execute)
    connection = await connection_to(server)
    await exchange(connection, [(b"GET", b"a"), (b"MULTI",), (b"GET", b"b"), (b"EXEC",)])
    assert free == [False, False]


async def test_a_command_that_fails_in_a_transaction_fails_alone() -> None:
    """Its error is one of the results, and what comes after it is executed."""
    connection = await connection_to(MemoryServer())
    *_, results = await exchange(
        connection, [(b"MULTI",), (b"RENAME", b"a", b"b"), (b"SADD", b"c", b"d"), (b"EXEC",)]
    )
    assert isinstance(results[0], ResponseError)
    assert results[1] == 1


async def test_a_command_that_it_does_not_know_is_refused() -> None:
    """An error says which, as a real server's does."""
    connection = await connection_to(MemoryServer())
    (reply,) = await exchange(connection, [(b"FLUSHALL",)])
    assert isinstance(reply, ResponseError)
    assert "FLUSHALL" in str(reply)


async def test_a_connection_that_is_closed_forgets_everything() -> None:
    """What was watched and queued is gone, and no reply is left to be read."""
    server = MemoryServer()
    connection = await connection_to(server)
    await exchange(connection, [(b"WATCH", b"a"), (b"MULTI",), (b"SET", b"a", b"1")])
    await connection.send_packed_command([b"*1\r\n$4\r\nPING\r\n"])
    await connection.disconnect()
    assert not await is_usable(connection)
    with pytest.raises(ConnectionError):
        await exchange(connection, [(b"EXEC",)])
    with pytest.raises(ConnectionError):
        await connection.read_response()

    await connection.connect()
    assert await exchange(connection, [(b"GET", b"a")]) == [None]


async def test_replicas_are_taken_for_there() -> None:
    """A client that waits for replicas works in a test that has none."""
    connection = await connection_to(MemoryServer())
    assert await exchange(connection, [(b"WAIT", 2, 100)]) == [2]
