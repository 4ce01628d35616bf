"""Blocking calls beside the event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

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
    with anyio.CancelScope(shield=True):
        try:
            running = loop.run_in_executor(None, function, *arguments)
        except RuntimeError:
            return function(*arguments)
        result = await running
    return result  # noqa: RET504  # the type checker takes a scope for one that swallows errors
