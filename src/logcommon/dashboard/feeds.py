"""Reads each document once for all who look at it, and for as long as somebody does."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from logcommon.client import CommonLog
from logcommon.dashboard.views import PARTS, View, parts_of, reduced
from logcommon.exceptions import LogCommonError
from logcommon.messages.origin import origin_of

MOST_FEEDS = 200
"""Different documents that are read at the same time: each costs Redis something."""

_SHARE = 5
"""A reading is followed by a pause of at least so many times as long, for Redis' sake."""

_ALIVE = 2.0
"""Seconds after which a viewer hears that the stream is alive, if nothing has changed."""

Opener = Callable[[], Awaitable[CommonLog]]


class Event(NamedTuple):
    """What a viewer gets: the name of a document, and the document as JSON."""

    name: str
    data: str


class Viewer:
    """The newest version of each document that somebody has not seen yet.

    A slow viewer misses versions, holds up nobody, and never has more waiting than one page.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._has_news = asyncio.Event()
        self._is_closed = False

    def close(self) -> None:
        """Let `events` end."""
        self._is_closed = True
        self._has_news.set()

    def put(self, event: Event) -> None:
        """Replace an older version of the document."""
        self._waiting[event.name] = event.data
        self._has_news.set()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what is new, and now and then that nothing is."""
        while not self._is_closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ALIVE):
                    await self._has_news.wait()
            self._has_news.clear()
            waiting, self._waiting = self._waiting, {}
            for name, data in waiting.items():
                yield Event(name, data)
            if not waiting:
                yield Event("alive", json.dumps({"at": _now()}))


class _Feed:
    """Reads one document again and again, while it has viewers."""

    def __init__(self, name: str, view: View, open_log: Opener) -> None:
        self._name = name
        self._view = view
        self._open_log = open_log
        self._last: Event | None = None
        self._last_content: object = None
        self.viewers: set[Viewer] = set()
        self._task = asyncio.create_task(self._run(), name=f"logcommon dashboard {name}")

    def add(self, viewer: Viewer) -> None:
        """Let a viewer have what is known, and what is read from now on."""
        self.viewers.add(viewer)
        if self._last is not None:
            viewer.put(self._last)

    def close(self) -> None:
        """Stop reading."""
        self._task.cancel()

    async def _run(self) -> None:
        part = PARTS[self._name]
        while True:
            began = time.monotonic()
            content = await self._read(part.read)
            # The moment of reading alone is no news.
            if content != self._last_content:
                self._last_content = content
                self._publish(content)
            took = time.monotonic() - began
            await asyncio.sleep(max(part.interval, _SHARE * took))

    async def _read(self, read: Callable[[CommonLog, View], Awaitable[Any]]) -> dict[str, object]:
        try:
            return {"trouble": None, **await read(await self._open_log(), self._view)}
        except LogCommonError as error:
            return {"trouble": str(error)}
        except Exception as error:  # noqa: BLE001  # else the page would be live, and never change
            return {"trouble": f"unexpected {origin_of(error)}"}

    def _publish(self, content: Mapping[str, object]) -> None:
        self._last = Event(self._name, json.dumps({"at": _now(), **content}))
        for viewer in self.viewers:
            viewer.put(self._last)


class Feeds:
    """The documents that are being looked at."""

    def __init__(self, open_log: Opener) -> None:
        self._open_log = open_log
        self._feeds: dict[tuple[str, View], _Feed] = {}
        self._is_closed = False

    def close(self) -> None:
        """Let all streams end, and begin no other."""
        self._is_closed = True
        for viewer in {each for feed in self._feeds.values() for each in feed.viewers}:
            viewer.close()

    def has_room(self) -> bool:
        """Return whether another page can be looked at."""
        return not self._is_closed and len(self._feeds) + len(PARTS) <= MOST_FEEDS

    async def watch(self, view: View) -> AsyncGenerator[Event, None]:
        """Yield the documents of a view as they change, until the iterator is closed."""
        viewer = Viewer()
        keys = [(name, reduced(view, PARTS[name])) for name in parts_of(view)]
        for key in keys:
            feed = self._feeds.get(key)
            if feed is None:
                feed = self._feeds[key] = _Feed(*key, self._open_log)
            feed.add(viewer)
        try:
            async with contextlib.aclosing(viewer.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._leave(viewer, keys)

    def _leave(self, viewer: Viewer, keys: Iterable[tuple[str, View]]) -> None:
        for key in keys:
            feed = self._feeds[key]
            feed.viewers.discard(viewer)
            if not feed.viewers:
                self._feeds.pop(key).close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
