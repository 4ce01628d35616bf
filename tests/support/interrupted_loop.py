"""A loop of calls that a timer interrupts with exceptions, like the time limits of task queues.

Run as a program; prints how often it was interrupted, the calls accepted and those drained.
"""

import itertools
import signal

from logcommon.settings import Settings
from logcommon.write.batch import Batch
from logcommon.write.buffer import Buffer

INTERRUPTIONS = 1_000
INTERVAL = 100e-6


class TimeLimitError(Exception):
    pass


def main() -> None:
    buffer = Buffer(Settings())
    batches: list[Batch] = []
    numbers = itertools.count()
    raised = 0

    def interrupt(*_: object) -> None:
        nonlocal raised
        raised += 1
        raise TimeLimitError

    signal.signal(signal.SIGALRM, interrupt)
    while raised < INTERRUPTIONS:
        try:
            signal.setitimer(signal.ITIMER_REAL, INTERVAL)
            for number in numbers:
                buffer.put("api", str(number % 50), "info")
                if number % 5_000 == 0:
                    buffer.seal()
                    buffer.move(1_000, batches)
        except TimeLimitError:
            continue

    buffer.seal()
    buffer.move(1_000, batches)
    print(raised, buffer.numbers().calls, sum(batch.calls for batch in batches))


if __name__ == "__main__":
    main()
