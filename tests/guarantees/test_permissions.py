"""The permissions in docs/security.md: they are enough, and each of them is needed."""

import asyncio
import contextlib
import re
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from cli.processes import run
from logcommon import Destination
from logcommon.alerts import Claims
from support.clock import NOON, HandClock
from support.layout import Counts, read_counts, total
from support.permissions import READER, WRITER, Admit
from support.until import until

TEMPLATE = "a <num>"


def lessened(permissions: list[str]) -> list[Any]:
    """Return lists of permissions with one removed, or one of `%RW` reduced to `%R` or `%W`."""
    cases = []
    for place, permission in enumerate(permissions):
        before, after = permissions[:place], permissions[place + 1 :]
        if permission[0] in "+%":
            cases.append(pytest.param(before + after, id=f"no {permission}"))
        for half in ("%R", "%W"):
            if permission.startswith("%RW"):
                less = permission.replace("%RW", half)
                cases.append(pytest.param([*before, less, *after], id=less))

    return cases


async def refused(valkey: Redis) -> set[str]:
    """Return what the user was refused, apart from telling the name of the library."""
    log: list[Any] = await valkey.acl_log()
    return {entry["object"] for entry in log if entry["object"] != "client|setinfo"}


async def use_the_client(url: str, valkey: Redis) -> tuple[Counts, Counts]:
    """Do all that a client can do; return the counts in Redis, and the expected ones."""
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
        await valkey.execute_command("CLIENT", "KILL", "USER", "tested")
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


async def test_the_client_runs_under_the_documented_permissions(
    admit: Admit, valkey: Redis
) -> None:
    """They suffice for rotation, history, limits, reconnecting, reading and closing."""
    using = asyncio.create_task(use_the_client(await admit(WRITER), valkey))
    try:
        assert await refused_or_done(using, valkey) == set()
    finally:
        using.cancel()
    counted, model = await using
    assert counted == model
    assert not await valkey.keys("logcommon:producer:*")


@pytest.mark.parametrize("permissions", lessened(WRITER))
async def test_the_client_needs_each_documented_permission(
    admit: Admit, valkey: Redis, permissions: list[str]
) -> None:
    """Without any one of them Redis refuses something; once it is granted, the client goes on.

    Reading and the functions, which wait for nothing, raise; what is counted is exact.
    """
    using = asyncio.create_task(use_the_client(await admit(permissions), valkey))
    assert await refused_or_done(using, valkey)
    await admit(WRITER)
    with contextlib.suppress(logcommon.ServerRefusedError):
        counted, model = await using
        assert counted == model


async def refused_or_done(using: "asyncio.Task[Any]", valkey: Redis) -> set[str]:
    """Return what the user was refused, as soon as something is or the task is done."""

    async def is_decided() -> bool:
        return using.done() or bool(await refused(valkey))

    await until(is_decided)
    return await refused(valkey)


@pytest.fixture
async def filled(admit: Admit, valkey: Redis) -> Redis:
    """The Valkey with everything that a client writes."""
    await use_the_client(await admit(["reset", "on", ">PASSWORD", "allkeys", "+@all"]), valkey)
    return valkey


async def use_the_reader(url: str) -> None:
    """Do all that can be done without writing."""
    async with logcommon.connect(url, clock=HandClock(NOON + 4)) as log:
        await read_everything(log)


async def test_a_reader_needs_only_the_documented_permissions(admit: Admit, filled: Redis) -> None:
    """All methods and commands that read work with them, and nothing is refused."""
    url = await admit(READER)
    await use_the_reader(url)
    for command in (["top"], ["top", "api"], ["top", "nobody"], ["recent"], ["destinations"]):
        done = await asyncio.to_thread(run, *command, url=url)
        assert done.returncode == (4 if "nobody" in command else 0), done.stderr
    assert await refused(filled) == set()


@pytest.mark.parametrize("permissions", lessened(READER))
async def test_a_reader_needs_each_documented_permission(
    admit: Admit, filled: Redis, permissions: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Without any one of them, reading raises an error, or warns that there are no examples."""
    url = await admit(permissions)
    try:
        await use_the_reader(url)
    except logcommon.ServerRefusedError:
        return
    assert "+hmget" not in permissions
    assert "examples were left out" in caplog.text


async def test_a_reader_cannot_write(admit: Admit, filled: Redis) -> None:
    """Entries that a reader logs are refused, and the counts in Redis do not change."""
    before = await read_counts(filled)
    async with logcommon.connect(await admit(READER), drain_timeout=0) as log:
        log.log_common_nowait("api", "a")
        await until(lambda: log.stats.refusals > 0)
    assert log.stats.dropped_unwritten == 1
    assert await read_counts(filled) == before


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "session:1"),
        ("SET", "common-room", "1"),
        ("DEL", "logcommon:other"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("PUBLISH", "common:api", "m"),
    ],
)
@pytest.mark.parametrize("permissions", [WRITER, READER], ids=["client", "reader"])
async def test_nothing_else_is_permitted(
    admit: Admit, valkey: Redis, permissions: list[str], command: tuple[str, ...]
) -> None:
    """Neither user may use other keys, other commands or channels."""
    await admit(permissions)
    verdict = await valkey.execute_command("ACL", "DRYRUN", "tested", *command)
    assert b"has no permissions" in verdict


async def test_another_database_takes_one_more_permission(admit: Admit, valkey: Redis) -> None:
    """A URL with a database other than 0 needs `+select`, as documented."""
    url = await admit(WRITER)
    async with logcommon.connect(f"{url}/1") as log:
        with pytest.raises(logcommon.ServerRefusedError, match="select"):
            await log.destinations()
    await admit(WRITER, "+select", "+client|setname")
    async with logcommon.connect(f"{url}/1?client_name=tested") as log:
        await log.log_common("api", "m")
        assert await log.destinations() == [Destination("api", "info")]
    assert await refused(valkey) == set()


async def test_a_service_can_be_kept_to_its_name(admit: Admit, valkey: Redis) -> None:
    """With its name in the key patterns, a service can write only its own keys."""
    url = await admit([re.sub("~(common|recent):", r"~\1:api:", rule) for rule in WRITER])
    async with logcommon.connect(url, drain_timeout=0) as log:
        await log.log_common("api", "m")
        log.log_common_nowait("web", "m")
        await until(lambda: log.stats.refusals > 0)
    assert (await total(valkey), await total(valkey, "web")) == (1, 0)
