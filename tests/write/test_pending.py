"""The counts that wait to be drained: who publishes, and who has to try again."""

import sys
from types import FrameType
from typing import Any

from logcommon.settings import Settings
from logcommon.write.batch import calls_of
from logcommon.write.buffer import Buffer
from logcommon.write.pending import Pending
from support.clock import HandClock


def test_nobody_publishes_in_the_middle_of_a_publication() -> None:
    """A finalizer that runs in the middle of one finds no version, and has to try again."""
    pending = Pending(Settings())
    assert pending.seal(close=False)
    pending._version.clear()
    assert not pending.seal(close=True)
    assert not pending.is_closed


def copy_sealed_at(opcode: int) -> tuple[int, bool]:
    """Copy one call, and seal it when `copy` comes to an opcode; return the calls, and whether."""
    buffer = Buffer(Settings(clock=HandClock()))
    buffer.open(lambda: None)
    buffer.put("api", "m")
    passed = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal passed
        if frame.f_code is not Pending.copy.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed += 1
            if passed == opcode:
                buffer._pending.seal(close=False)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        batches = buffer.copy(1_000)
    finally:
        sys.settrace(before)
    assert all(
        sum(batch.minutes[group].values()) == 1 for batch in batches for group in batch.counts
    )
    return calls_of(batches), passed >= opcode


def test_a_copy_has_what_is_sealed_meanwhile_once() -> None:
    """The writer may seal at any moment while a thread copies for the spool."""
    opcode, was_sealed = 1, True
    while was_sealed:
        calls, was_sealed = copy_sealed_at(opcode)
        assert calls == 1, f"sealed at opcode {opcode}"
        opcode += 1
    assert opcode > 10
