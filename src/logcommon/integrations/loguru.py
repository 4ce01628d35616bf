"""A sink for `loguru`. Extra `loguru`.

```python
from loguru import logger
from logcommon.integrations.loguru import CommonLogSink

logger.add(CommonLogSink("redis://localhost:6379/0", service="shop"))
logger.warning("user {} is over the limit", "bob")  # counted as "user {} is over the limit"
```
"""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra
from logcommon.integrations._recorder import Recorder
from logcommon.messages.origin import origin_of
from logcommon.model import FixedText

with require_extra("loguru>=0.7.3"):
    import loguru

if TYPE_CHECKING:
    from loguru import Message, Record

_LOG_CODE = getattr(getattr(type(loguru.logger), "_log", None), "__code__", None)
"""The code that runs in every call of loguru's logger."""


class CommonLogSink(Recorder):
    """Counts records by message, before the arguments are put in.

    An exception counts by its type and place instead, as in `ValueError at app/orders.py:41`. The
    severity is the record's level. The sink's `format` has no effect.

    A call waits for nothing, so don't use `enqueue=True`: behind a queue, messages have their
    arguments in them and exceptions have no place. With a URL, a thread writes in the background,
    and what is pending is written when loguru removes the sink or the process ends.

    Args:
        target: A URL, as for `connect`; or a client, which the application opens and closes.
        service: The name to count under, None for the name of the module that logs, or `loguru` if
            that has none.
        message: Returns the message of a record, or None to ignore it; replaces the rule above.
            loguru does not let it log. If it raises, a marker is counted instead.
        settings: Keyword arguments of `connect`, if `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        message: "Callable[[Record], str | None] | None" = None,
        **settings: Any,
    ) -> None:
        super().__init__(target, service, message or _message, settings)

    def write(self, message: "Message") -> None:
        """Count a record; never raises. loguru calls it."""
        try:
            record = message.record
            name = self._name_for(record["name"] or "loguru")
            self._count(name, record, record["level"].name)
        except Exception:  # noqa: BLE001  # with `catch=False`, the logging call would raise it
            self._ignore()

    # Not `flush`: loguru would call a method of that name after every record.
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until Redis has everything logged so far; return whether it has.

        A client that was passed in is not waited for: the caller may block its event loop.

        Args:
            timeout: Seconds to wait at most, None for `drain_timeout`.

        """
        return self._flush(timeout)

    async def complete(self) -> None:
        """Do what `wait` does, in an event loop. `await logger.complete()` calls it."""
        if self._background is not None:
            await self._background.flush_async()

    def stop(self) -> None:
        """Close. loguru calls it when the sink is removed."""
        self.close()


def _message(record: "Record") -> str:
    error = record["exception"]
    if error is not None and error.value is not None:
        return origin_of(error.value)
    if error is not None and error.type is not None:  # the value could not be pickled
        return error.type.__qualname__

    call = _call(record)
    logged = call.get("message")
    if isinstance(logged, BaseException):
        return origin_of(logged)
    if isinstance(logged, str) and (call.get("args") or call.get("kwargs")):
        return FixedText(logged)
    return record["message"]


def _call(record: "Record") -> Mapping[str, Any]:
    """Return the arguments of the call that made a record, empty if it can't be found.

    A record has only the finished message. The call, which is still on the stack, also has the
    message without its arguments. A call that made another record is not used.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not _LOG_CODE:
        frame = frame.f_back
    call = {} if frame is None else frame.f_locals
    return call if call.get("log_record") is record else {}
