"""Who may see the page: a token that becomes a cookie, and headers that confine what it may do."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_COOKIE = "logcommon"
_COOKIE_SECONDS = 30 * 86_400

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_LOGIN = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>logcommon</title>
<link rel="stylesheet" href="{up}static/style.css">
<main class="login">
<h1>logcommon</h1>
<form action="{up}">
<input type="text" autocomplete="username" hidden>
<label for="token">{problem}</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus>
<button>Show the page</button>
</form>
</main>
</html>
"""


class SecurityHeaders:
    """Adds the headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class TokenRequired:
    """Lets requests pass that have the token, in a header or in the cookie that stands for it.

    A token in the address is exchanged for that cookie, so that it doesn't stay there.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        key = token.encode("utf-8", "backslashreplace")
        # The cookie proves that its owner had the token, and doesn't give it away.
        self._cookie = hmac.new(key, b"logcommon dashboard", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        answer = self._app if scope["type"] != "http" else self._answer(HTTPConnection(scope))
        await answer(scope, receive, send)

    def _answer(self, request: HTTPConnection) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        root = request.scope.get("root_path", "")
        path = request.url.path.removeprefix(root)
        given = request.query_params.get("token")
        if given is not None and _is_equal(given, self._token):
            response = RedirectResponse(_without_token(request), HTTPStatus.SEE_OTHER)
            response.set_cookie(
                _COOKIE,
                self._cookie,
                max_age=_COOKIE_SECONDS,
                path=f"{root}/",
                secure=request.url.scheme == "https",
                httponly=True,
                samesite="strict",
            )
            return response

        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        if (scheme.lower() == "bearer" and _is_equal(sent, self._token)) or _is_equal(
            request.cookies.get(_COOKIE, ""), self._cookie
        ):
            return self._app
        if path.startswith("/static/"):
            return self._app  # the style of the form below; nothing secret is in there
        return _login(path, is_wrong=given is not None)


def _login(path: str, *, is_wrong: bool) -> Response:
    problem = "This is not the token." if is_wrong else "The token, as set in LOGCOMMON_TOKEN:"
    # Relative, as a proxy may have taken a prefix away.
    page = _LOGIN.format(up="../" * (path.count("/") - 1) or "./", problem=problem)
    return HTMLResponse(page, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})


def _without_token(request: HTTPConnection) -> str:
    """Return where to go on, relative to the address: a proxy may have taken a prefix away."""
    url = request.url.remove_query_params("token")
    return (url.path.rpartition("/")[2] or "./") + (f"?{url.query}" if url.query else "")


def _is_equal(given: str, expected: str) -> bool:
    """Compare in constant time."""
    sent, known = (text.encode("utf-8", "backslashreplace") for text in (given, expected))
    return hmac.compare_digest(sent, known)
