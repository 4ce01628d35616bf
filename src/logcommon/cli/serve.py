"""The command `serve`: the page, in a browser."""

import ipaddress
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio
import click

from logcommon.cli.options import url_option
from logcommon.cli.output import note
from logcommon.cli.signals import Stop, end_code, run
from logcommon.client import connect

LOCAL_HOST = "127.0.0.1"
DEFAULT_PORT = 8147


@click.command()
@click.option("--host", default=LOCAL_HOST, show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(min=0, max=65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="The port to listen on; 0 for any that is free.",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name under which browsers may ask for the page, as in logs.example.com; can be "
    "repeated.",
)
@click.option(
    "--token",
    envvar="LOGCOMMON_TOKEN",
    show_envvar=True,
    help="A secret that viewers must give. Needed if --host is not of this machine. In the "
    "variable, other users of the machine can't see it.",
)
@url_option
def serve(host: str, port: int, names: tuple[str, ...], token: str | None, url: str) -> int:
    """Serve a page that shows what is logged, live, until Ctrl-C.

    The page is for browsers on this machine. For others, give an address, a name and a token, and
    let a proxy add TLS.

    \b
    Examples:
      logcommon serve
      LOGCOMMON_TOKEN=… logcommon serve --host 0.0.0.0 --allow-host logs.example.com
    """  # noqa: D301  # click's mark for lines to keep
    if not token and not _is_local(host):
        raise click.UsageError(
            "other machines could read all messages: set LOGCOMMON_TOKEN, or listen on 127.0.0.1"
        )
    return run(lambda stop: serve_page(stop, url, host, port, names, token))


async def serve_page(
    stop: Stop,
    url: str,
    host: str = LOCAL_HOST,
    port: int = DEFAULT_PORT,
    names: Sequence[str] = (),
    token: str | None = None,
    view: str = "",
) -> int:
    """Serve the page until a signal comes, and show it if there is a desktop; return the exit code.

    Args:
        stop: Waits for a signal.
        url: The server with the messages.
        host: The address to listen on.
        port: The port.
        names: Names under which the page may be asked for.
        token: A secret that viewers must give.
        view: What to show in a browser at once, as a query string; nothing if it is empty.

    """
    async with connect(url) as log:
        await log.destinations()  # fails at once without a server; the page would wait for one
        with extra_required():
            from logcommon.dashboard.server import serving
        async with serving(log, host, port, names=names, token=token or None) as address:
            shown = address + ("?token=…" if token else view)
            note(f"the page is at {shown} until Ctrl-C")
            if view and sys.stdout.isatty():
                click.launch(address + view)
            with stop.scope:
                await anyio.sleep_forever()
    return end_code(stop.signal)


@contextmanager
def extra_required() -> Iterator[None]:
    """Say what to install if a package of the extra is missing."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise click.UsageError(
            f"{missing.name} is not installed: pip install 'starlette>=0.49' 'uvicorn>=0.34' "
            "'sse-starlette>=3.4' 'prometheus-client>=0.22'"
        ) from missing


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
