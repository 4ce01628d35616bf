"""A plain program that logs through our handler, and ends in one of many ways.

Run as `python logs_and_ends.py WAY TARGET [SETTINGS]`, with settings as JSON. Last of all, after
`logging` was shut down, it prints as JSON what became of the calls.
"""

import atexit
import json
import sys
from typing import Any


@atexit.register
def report() -> None:
    """Registered before `logging` is imported, so called after `logging` is shut down."""
    if late_calls:
        call(50)
    if handler is not None and __name__ == "__main__" and os.getpid() == program:
        numbers = {name: getattr(handler.stats, name) for name in NUMBERS}
        print(json.dumps(numbers | {"ignored": handler.ignored}), flush=True)


assert "logging" not in sys.modules

import logging  # noqa: E402
import multiprocessing  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402

from logcommon.integrations.logging import CommonLogHandler  # noqa: E402

NUMBERS = ("calls", "counted", "dropped_closed", "dropped_unwritten", "spooled", "pending")

handler: CommonLogHandler | None = None
late_calls = False
program = os.getpid()


def call(calls: int = 2000) -> None:
    for number in range(calls):
        logging.getLogger("api").info(f"message {number % 7} of %s", number)  # noqa: G004


def set_up() -> None:
    global handler
    settings = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    handler = CommonLogHandler(sys.argv[2], **settings)
    logging.basicConfig(handlers=[handler], level=logging.DEBUG)


def at_once() -> None:
    """Nothing is waited for."""
    set_up()
    call()


def sys_exit() -> None:
    """With a code of its own."""
    at_once()
    sys.exit(7)


def sigterm() -> None:
    """By a signal whose handler exits."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    at_once()
    signal.raise_signal(signal.SIGTERM)


def raises() -> None:
    """By an unhandled error."""
    at_once()
    raise ValueError("unexpected")


def thread_goes_on() -> None:
    """A thread that is waited for logs after the main thread has ended."""
    at_once()

    def go_on() -> None:
        threading.main_thread().join()
        call()

    threading.Thread(target=go_on).start()


def thread_is_first() -> None:
    """The first to log is a thread, after the main thread has ended."""
    set_up()

    def call_after_main_thread() -> None:
        threading.main_thread().join()
        call()

    thread = threading.Thread(target=call_after_main_thread)
    thread.start()


def exit_handlers() -> None:
    """What was registered before the handler was made logs at the exit, and what was after."""
    atexit.register(call)
    at_once()
    atexit.register(call)


def exit_handler_is_first() -> None:
    """Nothing is logged before the exit, when there are no new threads."""
    set_up()
    atexit.register(call)


def after_the_shutdown() -> None:
    """What is registered before `logging` was imported logs when that is shut down."""
    global late_calls
    at_once()
    late_calls = True


def after_the_shutdown_only() -> None:
    """The very first call comes after `logging` was shut down."""
    global late_calls
    set_up()
    late_calls = True


def forks() -> None:
    """A child ends like a program, as one of gunicorn's does, and so does its parent."""
    at_once()
    if os.fork() == 0:
        call()
        sys.exit()
    os.wait()


def in_children(method: str) -> None:
    """Children that end as `multiprocessing` ends them: a process and two of a pool."""
    at_once()
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=work)
    process.start()
    process.join()
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(work, range(2), chunksize=1))


def work(_: int = 0) -> None:
    if handler is None:
        set_up()
    call()


def children_fork() -> None:
    in_children("fork")


def children_spawn() -> None:
    in_children("spawn")


def children_forkserver() -> None:
    in_children("forkserver")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
