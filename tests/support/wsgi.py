"""A WSGI server without a network, and applications for it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from wsgiref.util import setup_testing_defaults

import logcommon
from logcommon.integrations.wsgi import CommonLogMiddleware

Environ: TypeAlias = dict[str, Any]
Start: TypeAlias = Callable[..., Callable[[bytes], object]]
App: TypeAlias = Callable[[Environ, Start], Iterable[bytes]]

ROUTE = {"logcommon.route": "/it"}


@dataclass
class Server:
    """What a server sees of an application, a request at a time."""

    app: App
    status: str = ""
    exc_info: Any = None
    written: list[bytes] = field(default_factory=list)

    def call(self, request: str, **environ: object) -> Iterable[bytes]:
        """Call the application, and return the body that it returns."""
        method, _, path = request.partition(" ")
        given: Environ = {"REQUEST_METHOD": method, "PATH_INFO": path, **environ}
        setup_testing_defaults(given)
        body: Iterable[bytes] = self.app(given, self.start_response)
        return body

    def start_response(
        self, status: str, headers: object, exc_info: object = None
    ) -> Callable[[bytes], object]:
        self.status, self.exc_info = status, exc_info
        return self.written.append

    def ask(self, request: str, **environ: object) -> bytes:
        """Call the application, send the whole body and close it."""
        body = self.call(request, **environ)
        try:
            return b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()


def server(app: App, log: logcommon.CommonLog | str, **settings: Any) -> Server:
    """Return a server that serves an application with the middleware."""
    return Server(CommonLogMiddleware(app, log, **settings))


BODY = [b"a", b"b"]


def plain(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """An application that answers in a list."""
    environ |= ROUTE
    start_response("200 OK", [("Content-Type", "text/plain")])
    return BODY


def streaming(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """An application that answers in a generator, and begins when the server asks for it."""
    environ |= ROUTE
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield from BODY
