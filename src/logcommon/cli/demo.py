"""The command `demo`: lets a small web shop log for some seconds, and shows the result."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import click
from click.core import ParameterSource
from redis.asyncio import Redis
from redis.exceptions import RedisError

from logcommon.cli.demo_view import DemoResult, live_view, show
from logcommon.cli.failures import ExitCode, NotExactError
from logcommon.cli.options import resolve_hour, url_option
from logcommon.cli.output import result_console
from logcommon.cli.serve import serve_page
from logcommon.cli.shop import NAME, Shop, ShopClock
from logcommon.cli.signals import run, run_or_raise
from logcommon.client import CommonLog, connect
from logcommon.exceptions import ServerUnavailableError
from logcommon.schema.keys import service_patterns
from logcommon.server.errors import translate
from logcommon.server.target import Target

_RECENT, _COMMON = 5, 8
"""How many rows are shown."""

_PATIENCE = 30.0
"""Seconds by which the demo may overrun on a slow server before it gives up."""

_EVERYTHING = 1_000_000_000


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=3600),
    default=6.0,
    show_default=True,
    help="Seconds that the shop is open.",
)
@click.option(
    "--tasks",
    type=click.IntRange(min=1, max=10_000),
    default=300,
    show_default=True,
    help="Visitors at the same time.",
)
@click.option("--serve", is_flag=True, help="Show the page with it afterwards, until Ctrl-C.")
@url_option
@click.pass_context
def demo(
    context: click.Context,
    seconds: float,
    tasks: int,
    serve: bool,  # noqa: FBT001
    url: str,
) -> int:
    """See logcommon at work, on the log of a small web shop.

    The shop serves hundreds of visitors at the same time while an hour turns, and logs as the
    service demo-shop. The log of an earlier demo is deleted first.
    """
    result = run_or_raise(_demo(url, seconds, tasks))

    is_url_given = context.get_parameter_source("url") is ParameterSource.COMMANDLINE
    show(result_console(), result, url_hint=" --url …" if is_url_given else "")
    if not result.is_exact:
        raise NotExactError(
            f"{result.calls:,} calls, but {result.counted:,} counted "
            "(is another demo using this server?)"
        )
    if serve:
        return run(lambda stop: serve_page(stop, url, port=0, view=f"?name={NAME}"))
    return ExitCode.OK


async def _demo(url: str, seconds: float, tasks: int) -> DemoResult:
    clock = ShopClock()
    async with (
        Target(url).opened() as client,
        connect(client, clock=clock) as log,
        _deadline(seconds + _PATIENCE),
    ):
        await log.destinations()  # fails at once without a server; writing would wait for one
        await _delete_earlier_demo(client)

        shop = Shop(log, clock, seconds, tasks)
        began = time.perf_counter()
        with live_view(shop):
            await shop.open()
        await log.flush()
        return await _result(log, shop, time.perf_counter() - began)


async def _result(log: CommonLog, shop: Shop, elapsed: float) -> DemoResult:
    moment = datetime.now(UTC)
    this_hour, last_hour = (resolve_hour(text, moment) for text in ("current", "last"))

    return DemoResult(
        calls=shop.calls,
        counted=await _count_all(log),
        elapsed=elapsed,
        tasks=shop.visitors,
        stats=log.stats,
        moment=moment,
        recent=await log.recent(NAME, None, _RECENT),
        common={hour: await log.top(NAME, None, _COMMON, hour) for hour in (this_hour, last_hour)},
    )


async def _count_all(log: CommonLog) -> int:
    """Return the sum of all the shop's counts in Redis, of all hours."""
    total = 0
    for hour in await log.hours(NAME, None):
        rows = await log.top(NAME, None, _EVERYTHING, hour)
        total += sum(row.count for row in rows)
    return total


async def _delete_earlier_demo(client: Redis) -> None:
    try:
        for pattern in service_patterns(NAME):
            keys = [key async for key in client.scan_iter(pattern, count=1000)]
            if keys:
                await client.unlink(*keys)
    except RedisError as error:
        raise translate(error) from None


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise ServerUnavailableError("the server stopped answering during the demo") from None
