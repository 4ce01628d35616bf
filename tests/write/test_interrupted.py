"""The buffer when something comes between: signal handlers that raise, log or read `stats`."""

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from logcommon.model import Destination
from logcommon.settings import Settings
from logcommon.write import buffer as buffer_module
from logcommon.write.batch import Batch
from logcommon.write.buffer import Buffer
from support import interrupted_loop
from support.clock import HandClock
from support.lines import at_each_line
from support.unmeasured import unmeasured_environment

MODULES = (
    "logcommon.write.buffer",
    "logcommon.write.pending",
    "logcommon.write.fold",
    "logcommon.write.batch",
)
API = Destination("api", "info")


class InterruptedCallError(Exception):
    pass


@pytest.fixture(autouse=True)
def fold_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_module, "_FOLD_AT", 12)


def filled(**settings: Any) -> Buffer:
    """Return a buffer whose next put folds, with entries of two hours and one destination more."""
    clock = HandClock()
    buffer = Buffer(Settings(clock=clock, **settings))
    for number in range(buffer._fold_at - 1):
        clock.turn(number == 5)
        buffer.put("api", str(number % 6), "info")
    buffer.put("web", "m", "error")
    buffer.put_recent("api", "recent", "info")
    return buffer


def counted(batches: list[Batch]) -> Counter[str]:
    found: Counter[str] = Counter()
    for batch in batches:
        for messages in batch.counts.values():
            found.update(messages)
    return found


def drain(buffer: Buffer, onto: list[Batch], *, last: bool = False) -> None:
    buffer.seal(last=last)
    buffer.move(7, onto)


def put(buffer: Buffer, onto: list[Batch]) -> None:
    buffer.put("api", "one more", "info")


def close(buffer: Buffer, onto: list[Batch]) -> None:
    drain(buffer, onto, last=True)


WORK = (put, drain, close)


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(
    "settings", [{}, {"max_pending": 4}, {"max_pending": 4, "template": "template {}".format}]
)
def test_an_exception_at_any_line_loses_and_doubles_nothing(
    work: Callable[[Buffer, list[Batch]], None], settings: dict[str, Any]
) -> None:
    """Whichever line a signal handler raises at, each accepted call is counted, and just once."""
    for line in itertools.count():
        buffer, batches = filled(**settings), list[Batch]()
        before = buffer.numbers()

        def interrupt(at: int, line: int = line) -> None:
            if at == line:
                raise InterruptedCallError

        try:
            at_each_line(lambda b=buffer, o=batches: work(b, o), interrupt, *MODULES)  # type: ignore[misc]
        except InterruptedCallError:
            pass
        else:
            break
        accepted = buffer.numbers().calls
        assert accepted - before.calls in ((0, 1) if work is put else (0,))
        buffer.seal()
        buffer.move(7, batches)
        assert counted(batches).total() == accepted
        assert buffer.numbers() == (accepted, 1, 0, 0)
        buffer.put("api", "and it goes on", "info")
        assert buffer.numbers().calls == accepted + 1
    assert line > 20


@pytest.mark.parametrize("work", WORK)
def test_the_numbers_add_up_at_every_line(work: Callable[[Buffer, list[Batch]], None]) -> None:
    """A signal handler can read them anywhere, without a deadlock, and they are of one moment."""
    buffer, batches = filled(), list[Batch]()
    total = buffer.numbers().calls

    def read(_: int) -> None:
        numbers = buffer.numbers()
        moved = counted(batches).total()
        assert numbers.calls == numbers.pending + moved + numbers.dropped
        assert numbers.calls - total in (0, 1)

    assert at_each_line(lambda: work(buffer, batches), read, *MODULES) > 20


def test_the_writer_does_not_sleep_over_what_a_thread_folds() -> None:
    """Entries on their way from the list of calls into the counts are pending at every line."""
    buffer = filled()
    slept: list[bool] = []
    put(buffer, [])
    at_each_line(buffer._fold_all, lambda _: slept.append(buffer.request_wake()), *MODULES)
    assert len(slept) > 20
    assert not any(slept)


@pytest.mark.parametrize("work", WORK)
def test_a_signal_handler_may_log_at_every_line(
    work: Callable[[Buffer, list[Batch]], None],
) -> None:
    """What is logged in the middle of a fold, so much that it folds itself, is counted once."""
    for line in itertools.count():
        buffer, batches = filled(), list[Batch]()
        reached: list[int] = []

        def log(at: int, line: int = line, b: Buffer = buffer, r: list[int] = reached) -> None:
            if at == line:
                r.append(at)
                for _ in range(2 * b._fold_at):
                    b.put("api", "from a handler", "info")

        at_each_line(lambda b=buffer, o=batches: work(b, o), log, *MODULES)  # type: ignore[misc]
        if not reached:
            break
        numbers = buffer.numbers()
        buffer.seal()
        buffer.move(7, batches)
        assert counted(batches).total() + numbers.dropped == numbers.calls
        assert numbers.dropped in ((0, 2 * buffer._fold_at) if work is close else (0,))
    assert line > 20


def test_a_timer_that_raises_in_a_tight_loop() -> None:
    """After a thousand exceptions in the middle of calls every accepted call is counted."""
    # In a process of its own: exceptions at any moment are more than a test runner can stand.
    done = subprocess.run(
        [sys.executable, interrupted_loop.__file__],
        capture_output=True,
        text=True,
        check=True,
        env=unmeasured_environment(),
    )
    raised, accepted, moved = map(int, done.stdout.split())
    assert raised == 1_000
    assert accepted == moved > 1_000
