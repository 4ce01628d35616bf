"""The example application with FastAPI, as a real process with two workers."""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from redis.asyncio import Redis

from logcommon.server.embedded import EmbeddedServer
from support.http import serving
from support.layout import read_counts
from support.servers import free_port
from support.until import until

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "fastapi_shop.py"
LINES = [line.strip() for line in EXAMPLE.read_text().splitlines()]
BUG_LINE = LINES.index("return 1 / PRICES[product]") + 1

REQUESTS = [
    ("GET", "/products/tea", 200, 90),
    ("GET", "/products/whisky", 404, 30),
    ("GET", "/prices.csv", 200, 40),
    ("POST", "/orders/tea", 201, 60),
    ("POST", "/orders/cake", 409, 20),
    ("GET", "/discounts/coffee", 200, 20),
    ("GET", "/discounts/sample", 500, 25),
    ("DELETE", "/products/tea", 405, 10),
    ("GET", "/wp-login.php", 404, 15),
]

COUNTED = {
    "info": Counter(
        {
            "GET /products/{product} 200": 90,
            "GET /prices.csv 200": 40,
            "POST /orders/{product} 201": 60,
            "tea ordered": 60,
            "GET /discounts/{product} 200": 20,
        }
    ),
    "warning": Counter(
        {
            "GET /products/{product} 404": 30,
            "POST /orders/{product} 409": 20,
            "cake is sold out": 20,
            "DELETE /products/{product} 405": 10,
            "GET <no route> 404": 15,
        }
    ),
    "error": Counter(
        {f"GET /discounts/{{product}} ZeroDivisionError at fastapi_shop.py:{BUG_LINE}": 25}
    ),
}


async def go_shopping(port: int) -> None:
    """Send all requests of the table, many at the same time."""
    # Without keep-alive each request may reach another worker.
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30
    ) as client:

        async def send(method: str, path: str, status: int) -> None:
            assert (await client.request(method, path)).status_code == status

        await asyncio.gather(
            *(
                send(method, path, status)
                for method, path, status, times in REQUESTS
                for _ in range(times)
            )
        )


async def counted(url: str) -> dict[str, Counter[str]]:
    """Return what is counted for each severity, in all hours together."""
    async with Redis.from_url(url) as client:
        counts = {severity: await read_counts(client, "shop", severity) for severity in COUNTED}
    return {severity: sum(hours.values(), Counter()) for severity, hours in counts.items()}


@asynccontextmanager
async def open_shop(directory: Path, url: str) -> AsyncIterator[int]:
    """Run the example until the block ends, and yield its port once both workers serve."""
    port = free_port()
    environment = {"PORT": str(port), "LOGCOMMON_URL": url}
    async with serving(
        sys.executable, EXAMPLE, port=port, directory=directory, environment=environment
    ):
        await until(lambda: started_workers(directory) == 2)
        yield port


def started_workers(directory: Path) -> int:
    """Return how many workers have logged that they are ready."""
    return (directory / "server.log").read_text().count("Application startup complete.")


async def test_the_shop_counts_exactly(tmp_path: Path, valkey_url: str) -> None:
    """After SIGTERM, Redis has what two workers were asked, message by message."""
    async with open_shop(tmp_path, valkey_url) as port:
        await go_shopping(port)
    assert await counted(valkey_url) == COUNTED


async def test_the_workers_share_an_embedded_server(tmp_path: Path) -> None:
    """The workers share an embedded server, and stop it when all counts are in."""
    with tempfile.TemporaryDirectory(prefix="shop-") as folder:  # a short path, for its socket
        data = Path(folder)
        async with open_shop(tmp_path, f"embedded:{data}") as port:
            await go_shopping(port)
        assert not (data / "server.pid").exists()
        with EmbeddedServer(data) as server:
            assert await counted(server.url) == COUNTED
