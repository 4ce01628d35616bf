"""A shop on aiohttp that counts what becomes of its requests, and logs beside it.

    $ pip install '.[aiohttp,cli,embedded]'                # in a clone of the repository
    $ python docs/examples/aiohttp_shop.py                 # on port 8080
    $ curl -d '{"product": "pear"}' localhost:8080/orders  # a few times, and others below
    $ logcommon top shop                                   # while it runs, or afterwards

It starts a Valkey of its own. In the environment, LOGCOMMON_URL names another server, and PORT
another port.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from aiohttp import web

import logcommon
from logcommon.integrations.aiohttp import LOG, setup

STOCK = web.AppKey("STOCK", dict[str, int])

routes = web.RouteTableDef()


@routes.get("/products")
async def products(request: web.Request) -> web.Response:
    """Leave it to the middleware, which counts `GET /products 200`."""
    return web.json_response(request.app[STOCK])


@routes.get("/products/{name}")
async def product(request: web.Request) -> web.Response:
    """Answer with 404 for an unknown product: a warning, whatever the name is."""
    name, stock = request.match_info["name"], request.app[STOCK]
    if name not in stock:
        request.app[LOG].log_common_nowait("shop", "no such product", "warning")  # returns at once
        raise web.HTTPNotFound
    return web.json_response({"name": name, "left": stock[name]})


@routes.post("/orders")
async def order(request: web.Request) -> web.Response:
    """Sell one; a name that is not in stock is a bug here, counted by its type and place."""
    ordered = await request.json()
    name, stock = ordered["product"], request.app[STOCK]
    if stock[name] == 0:
        raise web.HTTPConflict(text="sold out")
    stock[name] -= 1
    await request.app[LOG].log_common("shop", f"sold: {name}", "info")  # returns when Redis has it
    return web.json_response({"left": stock[name]}, status=201)


@routes.get("/report")
async def report(request: web.Request) -> web.StreamResponse:
    """Stream a line for each product, so slowly that it is counted as slow, too."""
    response = web.StreamResponse()
    await response.prepare(request)
    for name, left in request.app[STOCK].items():
        await asyncio.sleep(0.1)
        await response.write(f"{name}: {left}\n".encode())
    return response


@routes.get("/news")
async def news(request: web.Request) -> web.WebSocketResponse:
    """Echo what visitors of this websocket say."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(f"you said: {message.data}")
    return socket


async def opened(app: web.Application) -> AsyncIterator[None]:
    """Log the opening and the closing, for which the client is open as well."""
    app[LOG].log_common_nowait("shop", "opened", "info")
    yield
    app[LOG].log_common_nowait("shop", "closed", "info")


def shop() -> web.Application:
    """Return the application; `setup` is all that its requests take to be counted."""
    app = web.Application()
    app[STOCK] = {"apple": 1_000, "pear": 10, "plum": 0}
    app.add_routes(routes)
    app.cleanup_ctx.append(opened)
    log = logcommon.connect(os.environ.get("LOGCOMMON_URL", "embedded:"))
    setup(app, log, service="shop", slow_after=0.2)
    return app


if __name__ == "__main__":
    web.run_app(shop(), host="localhost", port=int(os.environ.get("PORT", "8080")))
