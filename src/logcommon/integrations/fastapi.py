"""The client as a dependency of FastAPI. Extra `fastapi`.

```python
import logcommon
from fastapi import FastAPI
from logcommon.integrations.asgi import CommonLogMiddleware, lifespan
from logcommon.integrations.fastapi import Log

log = logcommon.connect("redis://localhost:6379/0")
app = FastAPI(lifespan=lifespan(log))
app.add_middleware(CommonLogMiddleware, log=log, service="shop")

@app.post("/orders")
async def order(log: Log) -> None:
    await log.log_common("shop", "order taken")  # returns when Redis has it
```
"""

from typing import Annotated

from logcommon.client import CommonLog

try:
    from fastapi import Depends
    from fastapi.requests import HTTPConnection
except ModuleNotFoundError as missing:
    if missing.name != "fastapi":
        raise
    raise ImportError("fastapi is not installed: pip install fastapi", name="fastapi") from missing


async def get_log(connection: HTTPConnection) -> CommonLog:
    """Return the client of the `CommonLogMiddleware` that a request or a websocket came through.

    In a test, `app.dependency_overrides[get_log]` puts another in its place.

    Raises:
        RuntimeError: The application has no such middleware.

    """
    try:
        log: CommonLog = connection.scope["logcommon"]
    except KeyError:
        raise RuntimeError(
            "no client: app.add_middleware(CommonLogMiddleware, log=log, service=…)"
        ) from None
    return log


Log = Annotated[CommonLog, Depends(get_log)]
"""For a handler's parameter: `async def order(log: Log)`."""
