"""Applications and servers that the web middleware fits between, each with types of its own.

Checked by mypy and pyright, and never run.
"""

from wsgiref.simple_server import make_server

import httpx
import uvicorn
from aiohttp import web
from fastapi import FastAPI
from flask import Flask
from litestar import Litestar
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

import logcommon
from logcommon.integrations import asgi, wsgi
from logcommon.integrations.aiohttp import common_log_ctx, common_log_middleware, setup
from logcommon.integrations.requests import LogCall, Request, default_choice

URL = "redis://localhost:6379/0"
log = logcommon.connect(URL)


def choose(request: Request) -> LogCall | None:
    return None if request.event == "slow" else default_choice(request)


fast = asgi.CommonLogMiddleware(FastAPI(lifespan=asgi.lifespan(log)), log)
light = asgi.CommonLogMiddleware(Litestar([], lifespan=[asgi.lifespan(log)]), log, choose=choose)
small = asgi.CommonLogMiddleware(Starlette(), URL, slow_after=None, linger=1.0)
Starlette(routes=[Mount("/fast", fast)], middleware=[Middleware(asgi.CommonLogMiddleware, log=log)])
httpx.ASGITransport(light)
uvicorn.run(small)

served = wsgi.CommonLogMiddleware(Flask("shop").wsgi_app, URL)
make_server("", 8000, served)

application = web.Application(middlewares=[common_log_middleware(log, choose=choose)])
application.cleanup_ctx.append(common_log_ctx(log))
setup(application, log, choose=choose)
