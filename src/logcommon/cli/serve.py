"""The command `serve`: the page, in a browser."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import click

from logcommon.cli.options import url_option
from logcommon.cli.output import note
from logcommon.cli.signals import Stop, end_code, run
from logcommon.client import connect

DEFAULT_PORT = 8147


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
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
    return run(lambda stop: _serve(stop, url, host, port, names, token))


async def _serve(
    stop: Stop, url: str, host: str, port: int, names: tuple[str, ...], token: str | None
) -> int:
    async with connect(url) as log:
        await log.destinations()  # fails at once without a server; the page would wait for one
        with extra_required():
            from logcommon.dashboard.server import serving
        async with serving(log, host, port, names=names, token=token or None) as address:
            note(f"the page is at {address}" + ("?token=…" if token else "") + ", until Ctrl-C")
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
            f"{missing.name} is not installed: pip install 'logcommon[dashboard]'"
        ) from missing


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
