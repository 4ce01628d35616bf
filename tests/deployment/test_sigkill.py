"""What is in Redis, and in a spool, after a server was killed."""

from collections import Counter
from pathlib import Path
from subprocess import Popen

from redis.asyncio import Redis

from logcommon.write.spool import Spool
from support.shops import PATHS, ROUNDS, Row, ask, counted, expected, shop
from support.until import until

UVICORN = Row("uvicorn --port {port} starlette_shop:app")


async def test_sigkill_loses_what_no_commit_has_written(
    tmp_path: Path, valkey_url: str, valkey: Redis
) -> None:
    """Redis keeps what was committed, and has nothing that was not answered."""
    environment = {"LOGCOMMON_URL": valkey_url, "SERVICE": "shop"}
    async with shop(UVICORN, Popen.kill, tmp_path, LINGER="0.01", **environment) as port:
        first = await ask(port)

        async def committed() -> bool:
            return await counted(valkey, "shop", "shop-logger") == expected(UVICORN, first)

        await until(committed)
        both = first + await ask(port)
    found = await counted(valkey, "shop", "shop-logger")
    assert expected(UVICORN, first) <= found <= expected(UVICORN, both)


async def test_a_spool_outlives_sigkill(tmp_path: Path, valkey_url: str, valkey: Redis) -> None:
    """The next server writes what the killed one left in its spool, and every count is exact."""
    spool = tmp_path / "spool"
    environment = {"LOGCOMMON_URL": valkey_url, "SERVICE": "shop", "SPOOL": str(spool)}
    async with shop(UVICORN, Popen.kill, tmp_path, **environment) as port:
        first = await ask(port)

        async def saved() -> bool:
            committed = await counted(valkey, "shop")
            return committed.total() + spooled(spool) == first.total()

        await until(saved)
    async with shop(UVICORN, Popen.terminate, tmp_path, **environment) as port:
        both = first + await ask(port)
    requests = expected(UVICORN, both) - Counter({"order %s taken": len(PATHS) * ROUNDS})
    assert await counted(valkey, "shop") == requests


def spooled(spool: Path) -> int:
    """Return how many calls another process would find if the spool's owner were killed now."""
    twin = spool.with_name("twin")
    twin.write_bytes(spool.read_bytes())
    reader = Spool(twin)
    reader.open()
    reader.close()
    return sum(sum(each.values()) for batch in reader.found for each in batch.counts.values())
