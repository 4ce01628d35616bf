"""A guard against code that calls itself through a hook of the application."""

import threading


class ReentrancyGuard(threading.local):
    """Tells a thread that it is already inside a block which it must not enter again.

    Hold `lock` inside the block, and look at `lock.locked()` before it. Each thread has a lock of
    its own, so no thread waits for another.
    """

    def __init__(self) -> None:
        # Not a flag: `with` releases a lock in C, also if a signal handler raises in the block.
        self.lock = threading.Lock()
