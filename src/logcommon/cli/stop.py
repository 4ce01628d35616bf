"""Ctrl-C and SIGTERM, as the end of a scope."""

import asyncio
import signal
from types import TracebackType
from typing import Self

import anyio

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While entered, a signal cancels `scope` instead of the program; `signal` says which."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.signal: int | None = None

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        self.signal = number
        self.scope.cancel()
