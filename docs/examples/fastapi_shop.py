"""A small shop that counts what its customers do, and what goes wrong.

    $ pip install '.[cli,embedded,fastapi]' uvicorn     # in a clone of the repository
    $ python docs/examples/fastapi_shop.py              # on port 8000, in two workers
    $ curl -X POST http://localhost:8000/orders/tea     # a few times, and others below
    $ logcommon top shop                                # while it runs, or afterwards

The workers share a Valkey of their own. In the environment, LOGCOMMON_URL names another server, and
PORT and WORKERS change the rest.
"""

import os
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware, lifespan
from logcommon.integrations.fastapi import Log

PRICES = {"tea": 4, "coffee": 5, "cake": 3, "sample": 0}
SOLD_OUT = {"cake"}

log = logcommon.connect(os.environ.get("LOGCOMMON_URL", "embedded:"))
app = FastAPI(title="Shop", lifespan=lifespan(log))
app.add_middleware(CommonLogMiddleware, log=log, service="shop")


@app.get("/products/{product}")
async def show(product: str) -> dict[str, int]:
    """Leave it to the middleware, which counts `GET /products/{product} 200`, or 404."""
    if product not in PRICES:
        raise HTTPException(404, "no such product")
    return {product: PRICES[product]}


@app.get("/prices.csv")
async def prices() -> StreamingResponse:
    """Stream; counted when the last line is sent."""

    def lines() -> Iterator[str]:
        for product, price in PRICES.items():
            yield f"{product},{price}\n"

    return StreamingResponse(lines(), media_type="text/csv")


@app.post("/orders/{product}", status_code=201)
async def order(product: str, log: Log) -> dict[str, str]:
    """Count messages of its own, besides the middleware's."""
    if product in SOLD_OUT:
        log.log_common_nowait("shop", f"{product} is sold out", "warning")  # returns at once
        raise HTTPException(409, "sold out")
    await log.log_common("shop", f"{product} ordered")  # returns when it is in Valkey
    return {"ordered": product}


@app.get("/discounts/{product}")
async def discount(product: str) -> float:
    """Fail for the free sample: a bug, counted by its type and place."""
    return 1 / PRICES[product]


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    workers = int(os.environ.get("WORKERS", "2"))
    uvicorn.run("fastapi_shop:app", port=port, workers=workers)
