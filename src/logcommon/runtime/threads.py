"""Blocking calls beside the event loop, and waiting that a cancellation does not cut short."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

import anyio

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


async def run_in_thread(
    function: Callable[[*_Arguments], _Result], *arguments: *_Arguments
) -> _Result:
    """Return what a blocking function returns; a cancellation waits for it.

    At the interpreter's exit there are no new threads: then it is called here, and blocks.
    """
    # Not anyio's worker threads: the interpreter waits at its exit for those of a loop that runs in
    # a daemon thread, which goes on until it is told to close after that.
    loop = asyncio.get_running_loop()
    try:
        running = loop.run_in_executor(None, function, *arguments)
    except RuntimeError:
        return function(*arguments)
    await outlast(running)
    return running.result()


async def outlast(future: "asyncio.Future[Any]") -> None:
    """Wait for *future* even if cancelled; then re-raise the cancellation.

    What the future came to is for the caller to look at.
    """
    cancelled: asyncio.CancelledError | None = None
    # A scope shields from a cancellation by anyio, and not from `task.cancel()`.
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled
