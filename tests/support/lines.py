"""Does something at every line that a piece of code executes."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction


def at_each_line(work: Callable[[], object], act: Callable[[int], None], *modules: str) -> int:
    """Run `work`, and call `act` with a number before each line of `modules`; return how many.

    What `act` raises is raised there, as by a signal handler. Its own lines don't count.
    """
    files = tuple(str(sys.modules[module].__file__) for module in modules)
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> "TraceFunction | None":
        nonlocal lines
        if event == "call":
            return trace if frame.f_code.co_filename in files else None

        if event == "line":
            sys.settrace(None)
            try:
                act(lines)
            finally:
                lines += 1
                sys.settrace(trace)

        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines
