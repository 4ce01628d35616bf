"""A guard against code that calls itself through a hook of the application. No I/O."""

import threading


class _Thread:
    __slots__ = ("is_inside",)

    def __init__(self) -> None:
        self.is_inside: bool = False


class ReentrancyGuard(threading.local):
    """Remembers for each thread whether it is inside a block that it must not enter again.

    Before the block, look at `thread.is_inside`. Set it as the first thing in a `try`, and clear it
    in its `finally`: CPython raises the exception of a signal handler only after calls, so none can
    leave it set.
    """

    def __init__(self) -> None:
        self.thread: _Thread = _Thread()
        """The state of the current thread."""
