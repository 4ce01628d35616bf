"""The page on a server of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from logcommon.client import CommonLog
from logcommon.dashboard.application import app
from logcommon.exceptions import InvalidArgumentError
from logcommon.runtime.threads import wait_shielded

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_BACKLOG = 128


class _Server(uvicorn.Server):
    """Leaves signals to the program that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    log: CommonLog, host: str, port: int, *, names: Sequence[str] = (), token: str | None = None
) -> AsyncIterator[str]:
    """Serve the page while the block is executed, which gets its address.

    Args:
        log: What to show.
        host: The address to listen on.
        port: The port; 0 for any that is free.
        names: Names under which it may be asked for, besides those of this machine.
        token: A secret that viewers must have.

    Raises:
        InvalidArgumentError: The address or the port can't be used.

    """
    page = app(log, token=token, guarded=True, hosts=[*_LOCAL_NAMES, host, *names])
    config = uvicorn.Config(
        page,
        log_config=None,
        access_log=False,  # addresses may have the token in them
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    with _listening(host, port) as listener:
        running = asyncio.create_task(server.serve([listener]), name="logcommon page")
        try:
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{listener.getsockname()[1]}/"
        finally:
            page.state.feeds.close()  # uvicorn waits for streams that go on
            server.should_exit = True
            await wait_shielded(running)
        running.result()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidArgumentError(
            f"can't listen on {host}, port {port}: {error.strerror}; choose another port"
        ) from error
    with listener:
        yield listener
