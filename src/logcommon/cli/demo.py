"""The command `demo`: a small web shop logs for some seconds, and the result is shown."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import click
from click.core import ParameterSource
from redis.asyncio import Redis
from redis.exceptions import RedisError

from logcommon.cli.demo_view import DemoResult, live_view, show
from logcommon.cli.failures import NotExactError
from logcommon.cli.find import choose, most_common, most_recent
from logcommon.cli.hours import HOUR, now, start_of_hour
from logcommon.cli.options import url_option
from logcommon.cli.shop import NAME, Shop, ShopClock
from logcommon.cli.stop import run_or_raise
from logcommon.cli.terminal import result_console
from logcommon.client import CommonLog, connect
from logcommon.exceptions import ServerUnavailableError
from logcommon.model import Destination
from logcommon.server.errors import translate
from logcommon.server.target import Target

_RECENT, _COMMON = 5, 8
_PATIENCE = 30.0
"""Seconds beyond its time that the demo may take, on a server that is slow or has gone."""

_EVERYTHING = 1_000_000_000


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=3600),
    default=6.0,
    show_default=True,
    help="How long the shop is open.",
)
@click.option(
    "--tasks",
    type=click.IntRange(min=1, max=10_000),
    default=300,
    show_default=True,
    help="How many visitors it has at the same time.",
)
@url_option
@click.pass_context
def demo(context: click.Context, seconds: float, tasks: int, url: str) -> None:
    """See it work, on the log of a small web shop.

    Some hundred visitors are served at the same time, while an hour turns. The shop logs as the
    service demo-shop; what an earlier demo has logged is deleted first.
    """
    result = run_or_raise(_demo(url, seconds, tasks))
    given = context.get_parameter_source("url") is ParameterSource.COMMANDLINE
    show(result_console(), result, url_hint=" --url …" if given else "")
    if not result.is_exact:
        raise NotExactError(
            f"{result.calls:,} calls, but {result.counted:,} counted "
            "(does another demo use this server at the same time?)"
        )


async def _demo(url: str, seconds: float, tasks: int) -> DemoResult:
    clock = ShopClock()
    async with (
        Target(url).opened() as client,
        connect(client, clock=clock) as log,
        _deadline(seconds + _PATIENCE),
    ):
        await log.destinations()  # writing would wait for a server that isn't there
        await _forget_earlier_demos(client)
        shop = Shop(log, clock, seconds, tasks)
        began = time.perf_counter()
        with live_view(shop):
            await shop.open()
        await log.flush()
        return await _result(log, shop, time.perf_counter() - began)


async def _result(log: CommonLog, shop: Shop, elapsed: float) -> DemoResult:
    chosen = await choose(log, NAME, None)
    moment = now()
    this_hour = start_of_hour(moment)
    return DemoResult(
        calls=shop.calls,
        counted=await _count_all(log, chosen),
        elapsed=elapsed,
        tasks=shop.visitors,
        stats=log.stats,
        moment=moment,
        recent=await most_recent(log, chosen, _RECENT),
        common=await most_common(log, chosen, _COMMON, this_hour),
        common_before=await most_common(log, chosen, _COMMON, this_hour - HOUR),
    )


async def _count_all(log: CommonLog, chosen: Sequence[Destination]) -> int:
    """Return the sum of all counts of all hours, as Redis has them."""
    total = 0
    for name, severity in chosen:
        for hour in await log.hours(name, severity):
            rows = await log.top(name, severity, _EVERYTHING, hour)
            total += sum(row.count for row in rows)
    return total


async def _forget_earlier_demos(client: Redis) -> None:
    try:
        for pattern in (f"common:{NAME}:*", f"recent:{NAME}:*"):
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
        raise ServerUnavailableError("the server has stopped answering during the demo") from None
