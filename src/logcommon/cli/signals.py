"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the command cleanly, later ones are ignored."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

import anyio

from logcommon.cli.failures import ExitCode

_T = TypeVar("_T")

_SIGNALS = [] if sys.platform == "win32" else [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class SignalledError(KeyboardInterrupt):
    """A signal ended the command; `signal` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


class Stop:
    """What `run` passes to a coroutine: a signal cancels `scope`, and sets `signal`."""

    def __init__(self) -> None:
        self.scope: anyio.CancelScope = anyio.CancelScope()
        self.signal: int | None = None

    def _listen(self, signals: list[signal.Signals]) -> None:
        loop = asyncio.get_running_loop()

        def handle(number: int, _: FrameType | None) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._stop, number)

        # Not `add_signal_handler`: while the loop closes, Python would write a signal to a pipe
        # that is closed already, and print a traceback.
        for number in signals:
            signal.signal(number, handle)

    def _stop(self, number: int) -> None:
        self.signal = self.signal or number
        self.scope.cancel()


def raise_on_signals() -> None:
    """Make the first signal raise SignalledError in the main thread.

    Signals that were ignored when the program started stay ignored: `nohup` relies on that.
    """
    for number in _handled():
        signal.signal(number, _raise)


def run(main: Callable[[Stop], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine with a Stop, which the first signal sets; later signals change nothing.

    The coroutine has time to stop its server and to count the lines that it read: both are bounded.
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


def end_code(number: int | None) -> int:
    """Return the exit code of a command that goes on until a signal, given its number.

    Ctrl-C and SIGTERM are how it ends; a closed terminal is still an error.
    """
    if number == getattr(signal, "SIGHUP", None) and number is not None:
        return ExitCode.SIGNALLED + number
    return ExitCode.OK


def run_or_raise(main: Awaitable[_T]) -> _T:
    """Run a coroutine; a signal cancels it.

    Raises:
        SignalledError: A signal came, and the coroutine has ended.

    """

    async def cancelled_by_signal(stop: Stop) -> _T:
        with stop.scope:
            return await main
        raise SignalledError(stop.signal or signal.SIGINT)

    return run(cancelled_by_signal)


def _handled() -> list[signal.Signals]:
    return [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]


def _raise(number: int, _: FrameType | None) -> None:
    # First of all, as another may come while this one is handled.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SignalledError(number)
