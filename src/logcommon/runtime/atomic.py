"""Several small changes that nothing can come between. No I/O."""

from collections import deque
from collections.abc import Callable
from operator import call
from typing import Any, TypeAlias

Step: TypeAlias = Callable[[], object]
"""A built-in function with its arguments: a `functools.partial`.

Hashing and comparing the arguments must be built in as well, as of plain strings and numbers.
"""


def atomically(*steps: Step) -> None:
    """Call `steps` in order, and let nothing else happen between them.

    CPython runs signal handlers, raises asynchronous exceptions and switches threads only between
    two bytecodes. Here the interpreter goes from one step to the next in C, so everyone else sees
    all of them done or none. If a step raises, those after it are not called.
    """
    deque(map(call, steps), maxlen=0)


def read_atomically(*steps: Step) -> list[Any]:
    """Return what `steps` return, all as of one moment; see `atomically`."""
    return list(map(call, steps))
