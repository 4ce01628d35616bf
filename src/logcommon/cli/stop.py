"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the command in good order, others are ignored."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

import anyio

_T = TypeVar("_T")

_SIGNALS = [] if sys.platform == "win32" else [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class SignalledError(KeyboardInterrupt):
    """A signal ended the command; `signal` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class Stop:
    """While a coroutine runs under `run`, a signal cancels `scope`; `signal` says which it was."""

    def __init__(self) -> None:
        self.scope: anyio.CancelScope = anyio.CancelScope()
        self.signal: int | None = None

    def _listen(self, signals: list[signal.Signals]) -> None:
        loop = asyncio.get_running_loop()

        def tell(number: int, _: FrameType | None) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._stop, number)

        # Not by `add_signal_handler`: while the loop is closed, a signal would be written to the
        # pipe that it has closed already, and Python prints a traceback of that.
        for number in signals:
            signal.signal(number, tell)

    def _stop(self, number: int) -> None:
        self.signal = self.signal or number
        self.scope.cancel()


def raise_on_signals() -> None:
    """Have the first signal raise SignalledError, wherever the main thread is.

    Signals that were ignored when the program was started stay so: `nohup` relies on that.
    """
    for number in _handled():
        signal.signal(number, _raise)


def run(main: Callable[[Stop], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine, which is told of the first signal by a Stop; further ones change nothing.

    What holds a server or has lines to count gets the time for that, which is bounded anyhow.
    """
    handled = _handled()
    stops: list[Stop] = []

    async def listening() -> _T:
        stops.append(Stop())
        stops[0]._listen(handled)
        return await main(stops[0])

    try:
        return asyncio.run(listening())
    finally:
        was_stopped = any(stop.signal for stop in stops)
        for number in handled:
            signal.signal(number, signal.SIG_IGN if was_stopped else _raise)


def run_or_raise(main: Awaitable[_T]) -> _T:
    """Run a coroutine; on a signal it is cancelled.

    Raises:
        SignalledError: There was a signal, and the coroutine has ended.

    """

    async def cancelled_by_signal(stop: Stop) -> _T:
        with stop.scope:
            return await main
        raise SignalledError(stop.signal or signal.SIGINT)

    return run(cancelled_by_signal)


def _handled() -> list[signal.Signals]:
    return [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]


def _raise(number: int, _: FrameType | None) -> None:
    # First of all, as the next one may come while this one is dealt with.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SignalledError(number)
