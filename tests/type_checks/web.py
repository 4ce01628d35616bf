"""What type checkers make of the web integrations. Checked by mypy and pyright, and never run."""

from typing import assert_type

from aiohttp import web
from fastapi import FastAPI
from flask import Flask

import logcommon
from logcommon.integrations import asgi, wsgi
from logcommon.integrations.aiohttp import LOG, setup
from logcommon.integrations.fastapi import Log, get_log
from logcommon.integrations.requests import LogCall, Request

URL = "redis://localhost:6379/0"


def choose(request: Request) -> LogCall | None:
    if request.event == "slow":
        return None
    return LogCall(request.service, f"{request.method} {request.route}", "info")


def chooses_text(request: Request) -> str:
    return request.route


fast = FastAPI()
fast.add_middleware(asgi.CommonLogMiddleware, log=URL, service="shop", choose=choose, linger=1.0)
fast.add_middleware(asgi.CommonLogMiddleware, log=6379)  # type: ignore[arg-type]
fast.add_middleware(asgi.CommonLogMiddleware, log=URL, choose=chooses_text)  # type: ignore[arg-type]
fast.add_middleware(asgi.CommonLogMiddleware, service="shop")  # type: ignore[call-arg]


@fast.get("/orders/{order_id}")
async def read_order(order_id: int, log: Log) -> dict[str, int]:
    assert_type(log, logcommon.CommonLog)
    log.log_common_nowait("shop", "order read")
    return {"order": order_id}


fast.dependency_overrides[get_log] = lambda: logcommon.connect(URL)

flask = Flask("shop")
wsgi.CommonLogMiddleware(flask.wsgi_app, URL, service="shop", slow_after=None)
wsgi.CommonLogMiddleware(flask.wsgi_app, logcommon.background(URL), choose=choose)
wsgi.CommonLogMiddleware(flask.wsgi_app)  # type: ignore[call-arg]
wsgi.CommonLogMiddleware(flask.wsgi_app, URL, slow_after="1 s")  # type: ignore[arg-type]


async def read_product(request: web.Request) -> web.Response:
    assert_type(request.app[LOG], logcommon.CommonLog)
    return web.Response()


application = web.Application()
setup(application, URL, service="shop", choose=choose)
setup(application, logcommon.connect(URL))
setup(application, 6379)  # type: ignore[arg-type]
