"""Makes several small changes atomic. No I/O."""

from collections import deque
from collections.abc import Callable
from operator import call
from typing import Any, TypeAlias

Step: TypeAlias = Callable[[], object]
"""A `functools.partial` of a built-in function, such as `setattr` or a list's `append`.

If a step hashes or compares its arguments, that must be built in as well, as it is for plain
strings and numbers.
"""


def atomically(*steps: Step) -> None:
    """Call `steps` in order, with nothing else happening in between.

    CPython runs signal handlers, raises asynchronous exceptions and switches threads only between
    two bytecodes. Here the interpreter goes from one step to the next in C, so everything else sees
    either all of the changes or none. If a step raises, the steps after it are not called.
    """
    deque(map(call, steps), maxlen=0)


def read_atomically(*steps: Step) -> list[Any]:
    """Return what `steps` return, all read at the same moment; see `atomically`."""
    return list(map(call, steps))
