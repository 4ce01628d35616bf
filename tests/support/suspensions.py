"""Shows a test every suspension of a coroutine, so that it can cancel at each."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeAlias

Awaited: TypeAlias = "asyncio.Future[Any] | None"
"""What a task is suspended on, None where it only lets others run."""

Visit: TypeAlias = Callable[[int, Awaited], None]
"""Called at each suspension with its number, from 0, and with what it waits for."""


class Suspensions:
    """Awaits a coroutine as its task would, and calls `visit` each time it suspends."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], visit: Visit) -> None:
        self._coroutine = coroutine
        self._visit = visit

    def __await__(self) -> Generator[Awaited, None, Any]:
        number, go_on = 0, partial(self._coroutine.send, None)
        while True:
            try:
                awaited = go_on()
            except StopIteration as stop:
                return stop.value
            self._visit(number, awaited)
            number, go_on = number + 1, partial(self._coroutine.send, None)
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  # a cancellation, for one, is passed on
                go_on = partial(self._coroutine.throw, error)


class Canceller:
    """Cancels a task as a coroutine reaches one of its suspensions.

    With `late`, not as it is reached but as it ends: what was waited for has come by then, and
    the coroutine is not told. With `over_and_over`, at each suspension from that one on.
    """

    def __init__(self, number: int, *, late: bool = False, over_and_over: bool = False) -> None:
        self._number = number
        self._late = late
        self._over_and_over = over_and_over
        self.target: Callable[[], asyncio.Task[Any] | None] = asyncio.current_task
        self.reached = False

    def visit(self, number: int, awaited: Awaited) -> None:
        if number != self._number and not (self._over_and_over and number > self._number):
            return
        self.reached = True
        task = self.target()
        assert task is not None
        if self._late and awaited is not None:
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()
