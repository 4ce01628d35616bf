"""An ASGI application that logs through our handler, made when this is imported.

Run as a program it serves itself with uvicorn, on the port that it is given.
"""

import logging
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from logcommon.integrations.logging import CommonLogHandler

LOGGER = logging.getLogger("shop")
LOGGER.setLevel(logging.INFO)
LOGGER.addHandler(
    CommonLogHandler(os.environ["LOG_URL"], linger=float(os.environ.get("LINGER", "0.2")))
)


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        await receive()
        if "QUIET" not in os.environ:
            LOGGER.info("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        LOGGER.info("stopped")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        LOGGER.info("request of %s", scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(sys.argv[1]))
