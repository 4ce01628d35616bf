"""The permissions in docs/security.md: they are enough, and each of them is needed."""

import asyncio
import contextlib
import re
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from cli.processes import run
from logcommon import Destination
from support.clock import NOON, HandClock
from support.everything import read_everything, use_the_client
from support.layout import read_counts, total
from support.permissions import READER, WRITER, Admit
from support.until import until


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
