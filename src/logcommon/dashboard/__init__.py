"""The page: what is logged, live in a browser. Extra `dashboard`.

```python
import logcommon
import logcommon.dashboard
from fastapi import FastAPI

app = FastAPI()
app.mount("/logs", logcommon.dashboard.app("redis://localhost:6379/0", guarded=True))
```
"""

from logcommon.dashboard.application import app, route

__all__ = ["app", "route"]
