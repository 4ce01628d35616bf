"""The recent logs as a stream: each entry once and in order, whoever logs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import ClientClosedError, CommonLog, Destination, InvalidArgumentError, NewEntries
from logcommon.testing import capture
from support.servers import valkey_server

SOON = 0.001


@pytest.fixture(params=["valkey", "capture"])
async def log(request: pytest.FixtureRequest, valkey: Redis) -> AsyncIterator[CommonLog]:
    """A client on a server, or captured."""
    opened = logcommon.connect(valkey)
    if request.param == "capture":
        with capture():
            async with opened:
                yield opened
    else:
        async with opened:
            yield opened


async def put(log: CommonLog, *messages: str, name: str = "api") -> None:
    for message in messages:
        log.log_common_nowait(name, message)
    await log.flush()


async def next_of(stream: AsyncIterator[NewEntries]) -> NewEntries:
    return await asyncio.wait_for(anext(stream), 30)


async def test_entries_come_as_they_are_logged(log: CommonLog) -> None:
    """First the newest that are there, then what is logged, also by services that begin later."""
    await put(log, "a", "b", "c")
    stream = log.follow(n=2, interval=SOON)
    assert [row.message for row in (await next_of(stream)).rows] == ["b", "c"]

    waiting = asyncio.ensure_future(next_of(stream))
    await put(log, "d")
    found = await waiting
    assert ([row.message for row in found.rows], found.missed) == (["d"], {})
    await put(log, "d", name="web")
    (row,) = (await next_of(stream)).rows
    assert row.destination == Destination("web", "info")


async def test_what_came_too_fast_is_counted(log: CommonLog) -> None:
    """A recent log keeps a hundred entries: of the others there is a number."""
    stream = log.follow("api", "info", n=1, interval=SOON)
    await put(log, "first")
    await next_of(stream)
    await put(log, *map(str, range(250)))
    found = await next_of(stream)
    assert [row.message for row in found.rows] == [str(number) for number in range(150, 250)]
    assert found.missed == {Destination("api", "info"): 150}


async def test_a_server_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    """The stream goes on where it was."""
    with valkey_server(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}/"
        async with logcommon.connect(url) as log:
            await put(log, "a")
            stream = log.follow(n=1, interval=SOON)
            await next_of(stream)
            waiting = asyncio.ensure_future(next_of(stream))
            server.terminate()
            log.log_common_nowait("api", "b")
            await asyncio.sleep(0)
            server.start()
            assert [row.message for row in (await waiting).rows][-1] == "b"


@pytest.mark.parametrize("options", [{"interval": 0}, {"n": -1}])
async def test_numbers_that_cannot_be_used(valkey: Redis, options: dict[str, int]) -> None:
    """They are refused at once."""
    async with logcommon.connect(valkey) as log:
        with pytest.raises(InvalidArgumentError, match="n must be at least 0"):
            await anext(log.follow(**options))  # type: ignore[arg-type]


async def test_a_client_that_is_not_open(valkey: Redis) -> None:
    """It says so, instead of waiting for ever."""
    with pytest.raises(ClientClosedError):
        await anext(logcommon.connect(valkey).follow())
