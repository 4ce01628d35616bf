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

from logcommon.background import INTERNAL_LOGGERS, BackgroundLog, log_for
from logcommon.client import CommonLog
from logcommon.integrations._extras import require_extra
from logcommon.messages.origin import origin_of
from logcommon.model import LONGEST_NAME, Destination
from logcommon.stats import Stats

with require_extra("loguru>=0.7.3"):
    import loguru

if TYPE_CHECKING:
    from loguru import Message, Record

_CALL = getattr(getattr(type(loguru.logger), "_log", None), "__code__", None)
"""The code that every call of loguru's logger runs."""


class CommonLogSink:
    """Counts records, those of one logging call as one message whatever its arguments are.

    The message is that of the call before its arguments are put in, or for an exception its type
    and where it was raised, as in `ValueError at app/orders.py:41`. The sink's `format` is not
    used. The severity is the record's level.

    A call of a sink does no I/O and waits for nothing, so there is no use in `enqueue=True`. With
    it the sink is told less: messages have their arguments in them, and exceptions have no place.

    One made with a URL writes from a thread of its own, and is flushed when loguru removes it, or
    else when the process ends. One made with a client leaves that to the client.

    Args:
        target: A URL, as for `connect`; or a client, to be opened and closed by the application.
        service: The name to count under, None for the name of the module that logs, and `loguru`
            where that has none.
        message: Returns the message of a record, in place of the rule above. loguru does not let it
            log. Where it raises, a mark is counted in its place.
        settings: Keyword arguments of `connect`, where `target` is a URL.

    Raises:
        InvalidArgumentError: The target, the service or a setting can't be used.

    """

    def __init__(
        self,
        target: str | CommonLog = "redis://localhost:6379/0",
        service: str | None = None,
        message: "Callable[[Record], str] | None" = None,
        **settings: Any,
    ) -> None:
        if service is not None:
            Destination.of(service, "info")  # now, and not with each record, is the time for it
        self._log = log_for(target, settings)
        self._service = service
        self._message = message or _message
        self.ignored: int = 0
        """Records not counted, because writing to Redis caused them."""

    @property
    def stats(self) -> Stats:
        """What has become of every record so far, other than those ignored."""
        return self._log.stats

    def write(self, message: "Message") -> None:
        """Count a record; never raises. loguru calls it."""
        try:
            record = message.record
            name = record["name"] or "loguru"
            if name.partition(".")[0] in INTERNAL_LOGGERS:
                self.ignored += 1
            else:
                name = self._service or name[:LONGEST_NAME]
                self._log.log_common_nowait(name, self._text(record), record["level"].name)
        except Exception:  # noqa: BLE001  # with `catch=False` it would be raised by the call
            self.ignored += 1

    # Not `flush`: loguru would call a method of that name after every record.
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until what was logged is in Redis; return whether it is.

        A client that was passed in is not waited for: its event loop may be the one that calls.

        Args:
            timeout: Seconds to wait at most, None for `drain_timeout`.

        """
        if isinstance(self._log, CommonLog):
            return self._log.stats.pending == 0
        return self._log.flush(timeout)

    async def complete(self) -> None:
        """Do what `wait` does, in an event loop. `await logger.complete()` calls it."""
        if isinstance(self._log, BackgroundLog):
            await self._log.flush_async()

    def stop(self) -> None:
        """Close. loguru calls it when the sink is removed."""
        self.close()

    def close(self) -> None:
        """Flush, within `drain_timeout`, if the client is the sink's own."""
        if not isinstance(self._log, CommonLog):
            self._log.close()

    def _text(self, record: "Record") -> str:
        try:
            return str(self._message(record))
        except Exception as error:  # noqa: BLE001  # a call must not raise for the hook's sake
            return f"<not logged: its message raised {type(error).__name__}>"


def _message(record: "Record") -> str:
    error = record["exception"]
    if error is not None and error.value is not None:
        return origin_of(error.value)
    if error is not None and error.type is not None:  # the value could not be pickled
        return error.type.__qualname__
    call = _call(record)
    said = call.get("message")
    if isinstance(said, BaseException):
        return origin_of(said)
    if isinstance(said, str) and (call.get("args") or call.get("kwargs")):
        return said
    return record["message"]


def _call(record: "Record") -> Mapping[str, Any]:
    """Return what the call that made a record was given, nothing where that can't be found.

    A record does not have the message as it was before its arguments were put in, but the call,
    which is still under way, does. No other call is taken for it.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not _CALL:
        frame = frame.f_back
    call = {} if frame is None else frame.f_locals
    return call if call.get("log_record") is record else {}
