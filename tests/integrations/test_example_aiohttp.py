"""The example for aiohttp, run as a reader would."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import ClientSession
from redis.asyncio import Redis

from logcommon.server.embedded import EmbeddedServer
from support.http import serving
from support.layout import read_counts
from support.servers import free_port

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "aiohttp_shop.py"

Counts = dict[str, Counter[str]]


async def counted(valkey: Redis) -> Counts:
    """Return what is counted for the shop by severity, in all hours together."""
    found = {
        severity: sum((await read_counts(valkey, "shop", severity)).values(), Counter())
        for severity in ("info", "warning", "error")
    }
    # On a busy machine any other request may be slow as well.
    for message in [each for each in found["warning"] if each.endswith(" slow")]:
        if message != "GET /report slow":
            del found["warning"][message]
    return found


class Visitors:
    """Sends every kind of request, and keeps a model of what Redis must hold."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._chance = random.Random(0)
        self._pears = 10
        self.model: Counts = {severity: Counter() for severity in ("info", "warning", "error")}

    async def ask(self) -> None:
        """Send a few hundred requests, most of them eight at a time."""
        kinds = [self.look, self.look_for_nothing, self.buy, self.misspell, self.lose_the_way]
        todo = self._chance.choices(kinds, [4, 2, 3, 1, 1], k=400)
        free = asyncio.Semaphore(8)

        async def one(number: int) -> None:
            async with free:
                await todo[number]()

        async with asyncio.TaskGroup() as group:
            for number in range(len(todo)):
                group.create_task(one(number))
            for _ in range(3):
                group.create_task(self.report())
                group.create_task(self.talk())
        for _ in range(12):
            await self.buy_a_pear()

    async def look(self) -> None:
        await self._send("GET", "/products", 200)
        self.model["info"]["GET /products 200"] += 1
        await self._send("GET", "/products/apple", 200)
        self.model["info"]["GET /products/{name} 200"] += 1

    async def look_for_nothing(self) -> None:
        await self._send("GET", f"/products/{self._chance.random()}", 404)
        self.model["warning"].update(["GET /products/{name} 404", "no such product"])

    async def buy(self) -> None:
        await self._send("POST", "/orders", 201, product="apple")
        self.model["info"].update(["POST /orders 201", "sold: apple"])

    async def buy_a_pear(self) -> None:
        self._pears -= 1
        if self._pears >= 0:
            await self._send("POST", "/orders", 201, product="pear")
            self.model["info"].update(["POST /orders 201", "sold: pear"])
        else:
            await self._send("POST", "/orders", 409, product="pear")
            self.model["warning"]["POST /orders 409"] += 1

    async def misspell(self) -> None:
        await self._send("POST", "/orders", 500, product="aple")
        (line,) = (
            number
            for number, text in enumerate(EXAMPLE.read_text().splitlines(), start=1)
            if "if stock[name] == 0" in text
        )
        self.model["error"][f"POST /orders KeyError at aiohttp_shop.py:{line}"] += 1

    async def lose_the_way(self) -> None:
        await self._send("GET", f"/{self._chance.random()}", 404)
        await self._send("DELETE", "/orders", 405)
        self.model["warning"].update(["GET <no route> 404", "DELETE <no route> 405"])

    async def report(self) -> None:
        await self._send("GET", "/report", 200)
        self.model["info"]["GET /report 200"] += 1
        self.model["warning"]["GET /report slow"] += 1

    async def talk(self) -> None:
        async with self._session.ws_connect("/news") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "you said: hello"
        self.model["info"]["WEBSOCKET /news 1000"] += 1

    async def _send(self, method: str, path: str, status: int, **body: str) -> None:
        async with self._session.request(method, path, json=body or None) as response:
            await response.read()
            assert response.status == status


async def sell(url: str, directory: Path) -> Counts:
    """Run the shop with visitors, stop it by SIGTERM, and return the model."""
    port = free_port()
    environment = {"LOGCOMMON_URL": url, "PORT": str(port)}
    async with (
        serving(sys.executable, EXAMPLE, port=port, directory=directory, environment=environment),
        ClientSession(f"http://localhost:{port}") as session,
    ):
        visitors = Visitors(session)
        await visitors.ask()

    visitors.model["info"].update(["opened", "closed"])
    assert sum(counts.total() for counts in visitors.model.values()) > 500
    return visitors.model


async def test_redis_has_what_was_asked(valkey_url: str, valkey: Redis, tmp_path: Path) -> None:
    """After hundreds of requests and SIGTERM, every count is exact."""
    model = await sell(valkey_url, tmp_path)
    assert await counted(valkey) == model


def names_in(directory: str) -> list[str]:
    return [path.name for path in Path(directory).iterdir()]


async def test_its_own_server_has_what_was_asked() -> None:
    """The same holds with an embedded server, which stops with the application."""
    with TemporaryDirectory(prefix="logcommon-") as directory:
        model = await sell(f"embedded:{directory}", Path(directory))
        assert "server.sock" not in names_in(directory)
        with EmbeddedServer(Path(directory)) as server:
            async with Redis.from_url(server.url) as valkey:
                assert await counted(valkey) == model
