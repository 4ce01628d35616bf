"""Of `logcommon.server.connection`: many commands in one write, and nothing that acts by itself."""

import asyncio
from typing import Any

import pytest
import redis.exceptions
from hiredis import pack_command
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from logcommon.server import connection as connection_module
from logcommon.server.connection import dedicated_connection, exchange, is_usable


async def test_replies_come_in_order_and_errors_are_replies(valkey: Redis) -> None:
    """Each of many commands in one write gets a reply; an error is one of them."""
    connection = dedicated_connection(valkey)
    await connection.connect()
    replies = await exchange(
        connection, [(b"SET", b"k", 1), (b"LPUSH", b"k", b"x"), (b"GET", b"k")]
    )
    assert (replies[0], replies[2]) == (b"OK", b"1")
    assert isinstance(replies[1], ResponseError)
    await connection.disconnect()


async def test_a_closed_connection_is_not_opened_again(valkey: Redis) -> None:
    """redis-py would connect by itself, and so lose a WATCH."""
    connection = dedicated_connection(valkey)
    await connection.connect()
    await connection.disconnect()
    with pytest.raises(redis.exceptions.ConnectionError):
        await exchange(connection, [(b"PING",)])
    assert not await is_usable(connection)


async def test_a_cancelled_exchange_disconnects(valkey: Redis) -> None:
    """A connection with a reply still to come must not be used again."""
    connection = dedicated_connection(valkey)
    await connection.connect()
    task = asyncio.create_task(exchange(connection, [(b"BLPOP", b"nothing", 0)]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert not connection.is_connected


async def test_nothing_in_a_dedicated_connection_acts_by_itself(valkey_url: str) -> None:
    """The client's retries, health checks and time-outs do not apply to our connection."""
    async with Redis.from_url(
        valkey_url, retry_on_timeout=True, health_check_interval=1, socket_timeout=1
    ) as client:
        connection: Any = dedicated_connection(client)
    assert connection.retry.get_retries() == 0
    assert connection.health_check_interval == 0
    assert connection.socket_timeout is None
    assert connection.maint_notifications_config is None


async def test_hiredis_is_given_no_numbers(valkey: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It crashes the process if a signal handler raises while it formats a number."""
    packed = []

    def pack(command: tuple[Any, ...]) -> bytes:
        packed.append(command)
        return bytes(pack_command(command))

    monkeypatch.setattr(connection_module, "pack_command", pack)
    connection = dedicated_connection(valkey)
    await connection.connect()
    assert await exchange(connection, [(b"INCRBY", b"k", 5), (b"INCRBY", b"k", -7)]) == [5, -2]
    await connection.disconnect()
    assert all(type(each) is bytes for command in packed for each in command)
