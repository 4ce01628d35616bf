"""Waits for conditions that nothing announces."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import anyio


async def until(condition: Callable[[], object | Awaitable[object]], seconds: float = 30) -> None:
    """Return once `condition` holds; raise TimeoutError if it doesn't within `seconds`."""
    with anyio.fail_after(seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0.001)
