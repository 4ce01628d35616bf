"""Who may see the page: a token and its cookie, names of hosts, headers, and warnings."""

from http.cookies import SimpleCookie

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import logcommon
from logcommon.dashboard import app
from support.servers import NOWHERE

TOKEN = "a secret \u00e9"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)


def client(page: Starlette, **options: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(page)
    return httpx.AsyncClient(transport=transport, base_url="http://page", **options)  # type: ignore[arg-type]


def guarded_by_token(path: str) -> Starlette:
    """Return an application in which the page is at a path."""
    return Starlette(routes=[Mount(path, app(NOWHERE, token=TOKEN))])


@pytest.mark.parametrize("path", ["", "/logs", "/static/logs"])
async def test_without_the_token_nothing_is_shown(path: str) -> None:
    """Only the form for it, with its style; a wrong token is said to be wrong."""
    async with client(guarded_by_token(path)) as http:
        for asked in ("/", "/api/summary", "/api/stream", "/metrics", "/api/schema"):
            answer = await http.get(path + asked)
            assert answer.status_code == 401
            above = {"/": "./", "/metrics": "./"}.get(asked, "../")
            assert f'<form action="{above}">' in answer.text
            assert f'href="{above}static/style.css"' in answer.text
        assert (await http.get(f"{path}/static/style.css")).status_code == 200
        answer = await http.get(f"{path}/", params={"token": "wrong"})
        assert answer.status_code == 401
        assert "This is not the token." in answer.text
        answer = await http.get(f"{path}/", headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
        answer = await http.get(f"{path}/", headers={"Cookie": f"logcommon={TOKEN!a}"})
        assert answer.status_code == 401


@pytest.mark.parametrize("path", ["", "/logs"])
async def test_the_token_becomes_a_cookie(path: str) -> None:
    """It leaves the address, which keeps the rest of what it shows; the cookie doesn't have it."""
    async with client(guarded_by_token(path)) as http:
        answer = await http.get(f"{path}/", params={"name": "shop", "token": TOKEN})
        assert (answer.status_code, answer.headers["location"]) == (303, "./?name=shop")
        (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
        assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "strict", "")
        assert cookie["path"] == f"{path}/"
        assert TOKEN not in cookie.value

        cookies = {"Cookie": f"logcommon={cookie.value}"}
        assert (await http.get(f"{path}/", headers=cookies)).status_code == 200
    other = Starlette(routes=[Mount(path, app(NOWHERE, token="another"))])
    async with client(other) as http:
        assert (await http.get(f"{path}/", headers=cookies)).status_code == 401


async def test_a_cookie_over_tls_is_for_tls() -> None:
    """A browser doesn't send it over plain HTTP then."""
    transport = httpx.ASGITransport(app(NOWHERE, token="secret"))
    async with httpx.AsyncClient(transport=transport, base_url="https://page") as http:
        answer = await http.get("/api/schema", params={"token": "secret"})
        assert "; Secure" in answer.headers["set-cookie"]
        assert answer.headers["location"] == "schema"


async def test_programs_send_the_token_in_a_header() -> None:
    """As Prometheus does."""
    async with client(app(NOWHERE, token="secret")) as http:
        answer = await http.get("/api/schema", headers={"Authorization": "bearer secret"})
        assert answer.status_code == 200


async def test_other_names_are_refused() -> None:
    """A name of somebody else that points at this server shows nothing to their scripts."""
    page = app(NOWHERE, guarded=True, hosts=["localhost", "*.example.com"])
    async with client(page) as http:
        for name, status in (
            ("localhost:8147", 200),
            ("logs.example.com", 200),
            ("evil.example.org", 400),
        ):
            assert (await http.get("/", headers={"Host": name})).status_code == status


@pytest.mark.parametrize(
    "path", ["/", "/static/page.js", "/api/schema", "/api/health", "/api/nothing", "/nothing"]
)
async def test_every_answer_is_confined(path: str) -> None:
    """No script of others, no frame, nothing kept in caches that may be secret."""
    async with client(app(NOWHERE, guarded=True)) as http:
        headers = (await http.get(path)).headers
    assert headers["content-security-policy"] == CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_an_open_page_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Unless it has a token, or the application says that it guards it."""
    app(NOWHERE, token="secret")
    app(NOWHERE, guarded=True)
    assert not caplog.records
    app(NOWHERE)
    assert "open to everybody" in caplog.text


def test_arguments_that_cannot_be_used() -> None:
    """An empty token would let everybody in; settings belong to the client that is given."""
    with pytest.raises(logcommon.InvalidArgumentError, match="must not be empty"):
        app(NOWHERE, token="")
    with pytest.raises(logcommon.InvalidArgumentError, match="settings can't be given"):
        app(logcommon.connect(NOWHERE), linger=1)
