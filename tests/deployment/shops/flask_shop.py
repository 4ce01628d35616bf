"""A shop on Flask."""

import itertools
from collections.abc import Iterator

from common import COUNTING, SERVICE, bug, take
from flask import Flask, Response

from logcommon.integrations.wsgi import CommonLogMiddleware

app = Flask(__name__)
wsgi_app = CommonLogMiddleware(app.wsgi_app, service=SERVICE, **COUNTING)
app.wsgi_app = wsgi_app  # type: ignore[method-assign]  # as Flask's documentation has it


@app.get("/orders/<int:number>")
def order(number: int) -> str:
    return take(number)


@app.get("/stream")
def stream() -> Response:
    def chunks() -> Iterator[str]:
        yield from "abc"

    return Response(chunks())


@app.get("/endless")
def endless() -> Response:
    return Response(itertools.repeat("x" * 10_000))


@app.get("/bug")
def fail() -> str:
    return bug()
