"""The guard against code that calls itself."""

import threading

from logcommon.runtime.reentrancy import ReentrancyGuard


def test_each_thread_has_its_own_state() -> None:
    """While one thread is inside, another is not."""
    guard = ReentrancyGuard()
    seen: list[bool] = []
    guard.thread.is_inside = True

    other = threading.Thread(target=lambda: seen.append(guard.thread.is_inside))
    other.start()
    other.join()

    assert seen == [False]
    assert guard.thread.is_inside


def test_each_guard_has_its_own_state() -> None:
    """A thread inside one guard's block is not inside another's."""
    one, two = ReentrancyGuard(), ReentrancyGuard()
    one.thread.is_inside = True

    assert not two.thread.is_inside
