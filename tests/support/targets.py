"""A local HTTP target that is slow, fails, and comes back, as a test wants it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Target:
    """What apprise posts to, and what it has received."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.attempts = 0
        self.failing = 0
        """How many requests are still answered with an error."""
        self.answers = threading.Event()
        """Cleared, it answers no request until it is set."""
        self.answers.set()
        self.url = ""


@contextmanager
def http_target() -> Iterator[Target]:
    """Start a target on a free port of this machine."""
    target = Target()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target.attempts += 1
            target.answers.wait()
            if target.failing:
                target.failing -= 1
                self.send_error(503)
                return
            target.received.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    target.url = f"json://127.0.0.1:{server.server_port}/alerts"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield target
    finally:
        target.answers.set()
        server.shutdown()
        thread.join()
        server.server_close()
