"""What the proxies have in common: they listen on loopback, and serve each connection in a task."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Self


class Listener(ABC):
    """Accepts connections on loopback from when it is entered until it is left."""

    def __init__(self) -> None:
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links)

    @abstractmethod
    async def _link(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)

        try:
            # When the test ends first, the link is cancelled, which is nothing to report.
            with contextlib.suppress(asyncio.CancelledError):
                await self._link(client, to_client)
        finally:
            self._links.discard(link)
            to_client.close()
