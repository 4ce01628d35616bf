"""Does all that a client can do, and knows what must be in Redis then."""

from collections import Counter

from redis.asyncio import Redis

import logcommon
from logcommon import Destination
from logcommon.alerts import Claims
from support.clock import NOON, HandClock
from support.layout import Counts, read_counts

TEMPLATE = "a <num>"


async def use_the_client(url: str, valkey: Redis, user: str = "tested") -> tuple[Counts, Counts]:
    """Do all that a client can do as a user; return the counts in Redis, and the expected ones."""
    clock = HandClock()
    model: Counts = {}
    async with (
        logcommon.connect(
            url, clock=clock, max_members=2, drain_timeout=0.1, template=logcommon.template
        ) as log,
        Redis.from_url(url) as conn,
    ):
        # The hours of NOON: 0 begins; 1, 3 and 4 turn it; 2 and 0 come late.
        for hour in (0, 1, 3, 2, 4, 0):
            clock.turn(NOON + hour - clock.hour)
            for message in "aabc":
                log.log_common_nowait("api", f"{message} 1")
            await log.flush()
            counts = {TEMPLATE: 2, "b <num>": 1, "<other>": 1}
            model.setdefault(clock.hour, Counter()).update(counts)
        clock.turn(NOON + 4 - clock.hour)
        connects = log.stats.connects
        await valkey.execute_command("CLIENT", "KILL", "USER", user)
        await log.log_common("api", "a 1")
        await log.log_recent("api", "seen")
        await log.mark("v1")
        await log.mute("b <num>")
        await log.mute("c <num>")
        assert await log.unmute("c <num>")
        (change,) = (await log.compare("api", before="history", n=1)).changes
        assert await Claims(conn).take(clock.hour, [change])
        await logcommon.log_common(conn, "api", TEMPLATE, clock=clock)
        await logcommon.log_recent(conn, "api", "seen", clock=clock)
        model[clock.hour][TEMPLATE] += 2
        assert log.stats.connects == connects + 1
        assert log.stats.calls == log.stats.counted + log.stats.other
        await read_everything(log)

    return await read_counts(valkey), model


async def read_everything(log: logcommon.CommonLog) -> None:
    """Call every method that reads; of five hours, all but the last have counts."""
    assert await log.destinations() == [Destination("api", "info")]
    hours = await log.hours("api")
    assert len(hours) == 5
    for hour in hours:
        assert (await log.top("api", hour=hour))[0].message == TEMPLATE
    assert (await log.recent("api"))[0].message == "seen"
    assert (await log.compare("api", before="history")).changes
    assert (await log.series(TEMPLATE, "api")).last_seen
    assert sum(sum(calls.values()) for calls in (await log.minutes("api", hours=9)).values()) == 26
    assert [mark.text for mark in await log.marks()] == ["v1"]
    assert [mute.message for mute in await log.mutes()] == ["b <num>"]
