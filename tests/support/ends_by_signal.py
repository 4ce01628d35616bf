"""A program that logs, and that a signal ends, or whose children a signal ends.

Run as `python ends_by_signal.py WAY URL`.
"""

import logging
import multiprocessing
import signal
import sys
import threading

from logcommon.integrations.logging import CommonLogHandler

LOGGER = logging.getLogger("shop")


def set_up() -> None:
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(CommonLogHandler(sys.argv[2], linger=5))


def work(number: int) -> None:
    LOGGER.info("task %s", number)


def pool() -> None:
    """The workers of a pool are terminated when the block ends."""
    with multiprocessing.get_context("fork").Pool(2) as workers:
        workers.map(work, range(500))


def sigterm() -> None:
    """Nothing is prepared for the signal."""
    work(0)
    signal.raise_signal(signal.SIGTERM)


def busy() -> None:
    """The signal comes in the middle of calls, again and again."""
    main = threading.main_thread().ident
    assert main is not None
    is_busy = threading.Event()
    print("ready", flush=True)

    def terminate() -> None:
        is_busy.wait()
        for _ in range(3):
            signal.pthread_kill(main, signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    number = 0
    try:
        while True:
            work(number)
            number += 1
            if number == 1_000:
                is_busy.set()
    finally:
        print("never", flush=True)


def in_a_call() -> None:
    """The signal comes in the middle of a call, after one that is complete."""

    def redact(message: str) -> str:
        if message == "the last":
            signal.raise_signal(signal.SIGTERM)
        return message

    LOGGER.handlers[:] = [CommonLogHandler(sys.argv[2], linger=5, redact=redact)]
    work(0)
    LOGGER.info("the last")


def own_handler() -> None:
    """A program that handles the signal itself still does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    set_up()
    sigterm()


def default_again() -> None:
    """A program that restores the default action gets it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sigterm()


if __name__ == "__main__":
    if sys.argv[1] != "own_handler":
        set_up()
    globals()[sys.argv[1]]()
