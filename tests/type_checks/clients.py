"""What type checkers make of the clients. Checked by mypy and pyright, and never run.

A call with `type: ignore` is wrong, and both have to say so: one that is not needed is an error.
"""

import logging
from datetime import datetime
from typing import assert_type

from redis.asyncio import Redis

import logcommon

URL = "redis://localhost:6379/0"


async def log_and_read() -> None:
    async with logcommon.connect(URL, linger=0.5, history_hours=48, spool="web.spool") as log:
        assert_type(log, logcommon.CommonLog)
        assert_type(log.log_common_nowait("api", "cache miss", "info"), None)
        assert_type(await log.log_common("api", "payment declined", logging.ERROR), None)
        log.log_recent_nowait("api", "started")
        await log.log_recent("api", "started", "info")
        assert_type(await log.flush(), None)

        assert_type(await log.top("api", "error", n=10), list[logcommon.CommonRow])
        assert_type(await log.recent("api"), list[logcommon.RecentRow])
        assert_type(await log.destinations(), list[logcommon.Destination])
        assert_type(await log.hours("api"), list[datetime])
        assert_type(log.stats, logcommon.Stats)
        assert_type(log.stats.counted, int)


async def read_rows(log: logcommon.CommonLog, hour: datetime) -> None:
    for common in await log.top("api", hour=hour):
        assert_type(common.message, str)
        assert_type(common.count, int)
    for recent in await log.recent("api", n=3):
        assert_type(recent.message, str)
    for name, severity in await log.destinations():
        assert_type(name, str)
        assert_type(severity, str)


def connect_to_other_targets(client: Redis) -> None:
    assert_type(logcommon.connect(client), logcommon.CommonLog)
    logcommon.connect()


async def use_a_client_wrongly(log: logcommon.CommonLog) -> None:
    logcommon.connect(6379)  # type: ignore[arg-type]
    logcommon.connect(URL, linger="soon")  # type: ignore[arg-type]
    logcommon.connect(URL, no_such_setting=1)  # type: ignore[call-arg]
    logcommon.connect(URL, 0.5)  # type: ignore[call-arg]
    log.log_common_nowait("api")  # type: ignore[call-arg]
    log.log_common_nowait("api", b"payment declined")  # type: ignore[arg-type]
    log.log_common_nowait("api", "payment declined", None)  # type: ignore[arg-type]
    await log.log_common_nowait("api", "payment declined")  # type: ignore[misc, func-returns-value]
    for _ in log.top("api"):  # type: ignore[attr-defined]  # without await
        pass
    log.stats.counted = 0  # type: ignore[misc]


async def use_the_functions(client: Redis) -> None:
    assert_type(
        await logcommon.log_common(client, "api", "declined", logging.ERROR, timeout=5), None
    )
    assert_type(await logcommon.log_recent(client, "api", "started"), None)
    await logcommon.log_common(URL, "api", "declined")  # type: ignore[arg-type]


def use_a_client_in_the_background() -> None:
    with logcommon.background(URL, linger=0.5, redact=logcommon.redact_secrets) as log:
        assert_type(log, logcommon.BackgroundLog)
        log.log_common_nowait("batch", "file imported")
        assert_type(log.flush(timeout=2), bool)
        assert_type(log.top("batch"), list[logcommon.CommonRow])
        assert_type(log.stats, logcommon.Stats)

    logcommon.background(URL, linger="soon")  # type: ignore[arg-type]
    logcommon.background(URL, no_such_setting=1)  # type: ignore[call-arg]


async def use_a_client_in_the_background_wrongly(log: logcommon.BackgroundLog) -> None:
    await log.top("batch")  # type: ignore[misc]
    async with log:  # type: ignore[attr-defined]
        pass


def handle_errors(error: logcommon.LogCommonError) -> None:
    if isinstance(error, logcommon.SpoolError):
        assert_type(error.path, str)
        assert_type(error.problem, str)
