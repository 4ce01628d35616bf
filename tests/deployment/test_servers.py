"""Every request that a real server has answered is in Redis, however the server is stopped."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from redis.asyncio import Redis

from support.http import Process
from support.shops import ROUNDS, SHOPS, Row, ask, counted, expected, interrupt, shop
from support.until import until

PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"

ORDER = "/orders/<int:number>"
"""The route of an order in Django and in Flask."""
BOTH = ("url", "client")
UVICORN = "uvicorn --port {port}"
GUNICORN = "gunicorn --no-control-socket --bind 127.0.0.1:{port} --workers 2"
HYPERCORN = "hypercorn --bind 127.0.0.1:{port}"
GRANIAN = "granian --port {port}"
WORKER = "--worker-class uvicorn_worker.UvicornWorker"
STARLETTE = "starlette_shop:app"
UVICORN_RECORDS = Counter({"GET 200": 4 * ROUNDS, "GET 500": ROUNDS, "GET 404": ROUNDS})
DJANGO_RECORDS = Counter({"Not Found": ROUNDS, "Internal Server Error": ROUNDS})

ROWS = {
    "uvicorn": Row(f"{UVICORN} {STARLETTE}", stops=1, logs=BOTH),
    "uvicorn-2": Row(
        f"{UVICORN} --workers 2 {STARLETTE}", stops=2, records=UVICORN_RECORDS, logs=BOTH
    ),
    "uvicorn-mounted": Row(f"{UVICORN} starlette_shop:mounted", missing="/{path}"),
    "uvicorn-django": Row(f"{UVICORN} django_shop:asgi_app", order=ORDER),
    "uvicorn-litestar": Row(f"{UVICORN} litestar_shop:app", bug="GET /bug 500", stops=1, logs=BOTH),
    "gunicorn-uvicorn": Row(f"{GUNICORN} {WORKER} {STARLETTE}", stops=2, logs=BOTH),
    "gunicorn-uvicorn-preload": Row(
        f"{GUNICORN} {WORKER} --preload {STARLETTE}", stops=2, logs=BOTH
    ),
    "gunicorn-flask": Row(f"{GUNICORN} flask_shop:app", order=ORDER),
    "gunicorn-flask-preload": Row(f"{GUNICORN} --preload flask_shop:app", order=ORDER),
    "gunicorn-threads-flask": Row(
        f"{GUNICORN} --threads 4 flask_shop:app", order=ORDER, interrupt=interrupt
    ),
    "gunicorn-django": Row(f"{GUNICORN} django_shop:wsgi_app", order=ORDER, records=DJANGO_RECORDS),
    "hypercorn": Row(f"{HYPERCORN} {STARLETTE}", stops=1, logs=BOTH),
    "hypercorn-2": Row(f"{HYPERCORN} --workers 2 {STARLETTE}", stops=2, logs=BOTH),
    "granian": Row(f"{GRANIAN} --interface asgi {STARLETTE}", stops=1, logs=BOTH),
    "granian-2": Row(f"{GRANIAN} --workers 2 --interface asgi {STARLETTE}", stops=2, logs=BOTH),
    "granian-flask": Row(
        f"{GRANIAN} --interface wsgi flask_shop:app", order=ORDER, interrupt=interrupt
    ),
}


async def serve(
    row: Row, log: str, stop: Callable[[Process], None], directory: Path, url: str
) -> tuple[str, Counter[str]]:
    """Run a server until it has answered all requests; return its service and the responses."""
    service = f"{log}-{stop.__name__}"
    environment = {"LOG": log, "LOGCOMMON_URL": url, "SERVICE": service}
    async with shop(row, stop, directory / service, **environment) as port:
        received = await ask(port)
    return service, received


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_every_answered_request_is_counted(
    row: Row, tmp_path: Path, valkey_url: str, valkey: Redis
) -> None:
    """With a URL and with a client, stopped by SIGTERM and by Ctrl-C right after an answer.

    So are the server's own records, without paths, with the `message=` that the page shows.
    """
    runs = await asyncio.gather(
        *(
            serve(row, log, stop, tmp_path, valkey_url)
            for log in row.logs
            for stop in (Popen.terminate, row.interrupt)
        )
    )
    found = {service: await counted(valkey, service, f"{service}-logger") for service, _ in runs}
    assert found == {service: expected(row, received) for service, received in runs}

    if row.records:
        for service, _ in runs:
            assert await counted(valkey, f"{service}-server") == row.records


@pytest.mark.parametrize("row", ["gunicorn-flask", "granian-flask"])
async def test_a_client_that_leaves_a_stream_is_counted(
    row: str, tmp_path: Path, valkey_url: str, valkey: Redis
) -> None:
    """A WSGI server closes the body if it can't send the rest, which counts as a disconnect."""
    environment = {"LINGER": "0.01", "LOGCOMMON_URL": valkey_url, "SERVICE": "shop"}
    async with shop(ROWS[row], Popen.terminate, tmp_path, **environment) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        await reader.readuntil(b"xxx")
        writer.transport.abort()

        async def counted_as_left() -> bool:
            return await counted(valkey, "shop") == {"GET /endless client disconnected": 1}

        await until(counted_as_left)


def test_the_page_shows_the_message_of_these_tests() -> None:
    """The function that is tested here is the one on the page."""
    tested = (SHOPS / "common.py").read_text().split("def without_path(")[1].split("\n\n\n")[0]
    assert without_docstring(tested) in without_docstring(PAGE.read_text())


def without_docstring(text: str) -> str:
    return re.sub(r'    """.*?"""\n', "", text)
