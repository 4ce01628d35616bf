"""The client as a dependency of FastAPI. Extra `fastapi`.

```python
from fastapi import FastAPI
from logcommon.integrations.asgi import CommonLogMiddleware
from logcommon.integrations.fastapi import Log

app = FastAPI()
app.add_middleware(CommonLogMiddleware, log="redis://localhost:6379/0", service="shop")

@app.post("/orders")
async def order(log: Log) -> None:
    await log.log_common("shop", "order taken")  # returns when Redis has it
```
"""

from typing import Annotated

from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra

with require_extra("fastapi>=0.115"):
    from fastapi import Depends
    from fastapi.requests import HTTPConnection


async def get_log(connection: HTTPConnection) -> CommonLog:
    """Return the client of the `CommonLogMiddleware` that a request or a websocket came through.

    If the middleware has a URL, it is the middleware's own client, and open.

    In a test, `app.dependency_overrides[get_log]` replaces it.

    Raises:
        RuntimeError: The application has no such middleware.

    """
    try:
        log: CommonLog = connection.scope["logcommon"]
    except KeyError:
        raise RuntimeError(
            'no client: app.add_middleware(CommonLogMiddleware, log="redis://…", service=…)'
        ) from None
    return log


Log = Annotated[CommonLog, Depends(get_log)]
"""For a handler's parameter: `async def order(log: Log)`."""
