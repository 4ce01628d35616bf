"""Blocking calls in other threads, and waits that a cancellation does not end."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

import anyio

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


async def run_in_thread(
    function: Callable[[*_Arguments], _Result], *arguments: *_Arguments
) -> _Result:
    """Call a blocking function in another thread; a cancellation waits until it has returned.

    At Python's exit no thread can be started. Then it is called in this thread, which blocks.
    """
    # Not in anyio's worker threads. If the event loop runs in a daemon thread, Python's exit would
    # wait for them, and they would wait for the loop, which is closed only after that.
    loop = asyncio.get_running_loop()
    try:
        running = loop.run_in_executor(None, function, *arguments)
    except RuntimeError:
        return function(*arguments)

    await wait_shielded(running)
    return running.result()


async def wait_shielded(future: "asyncio.Future[Any]") -> None:
    """Wait until `future` is done, even if cancelled; then re-raise the cancellation.

    This neither returns the future's result nor raises its exception.
    """
    cancelled: asyncio.CancelledError | None = None
    # A scope shields from a cancellation by anyio, but not from `task.cancel()`.
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error

    if cancelled is not None:
        raise cancelled
