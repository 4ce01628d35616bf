"""A program that ends with a client in use, in one of many ways.

Run as `python leaver.py WAY URL`. Ways that report print, as JSON, what was logged and `stats`.
"""

import asyncio
import atexit
import json
import signal
import sys
import threading
from collections import Counter
from dataclasses import asdict

import logcommon


class Leaver:
    """Logs to a client, and remembers what it logged."""

    def __init__(self, url: str) -> None:
        self.log = logcommon.connect(url, linger=3600)
        self.logged: Counter[str] = Counter()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.calls_at_the_end = False

    def call(self, calls: int = 2000) -> None:
        for number in range(calls):
            message = f"message {number % 7}"
            self.log.log_common_nowait("api", message)
            self.logged[message] += 1

    def report(self) -> None:
        stats = self.log.stats
        numbers = asdict(stats) | {"dropped": stats.dropped, "pending": stats.pending}
        print(json.dumps({"logged": self.logged, "stats": numbers}), flush=True)

    async def enter(self) -> None:
        """Open the client and write, and leave some calls to be written."""
        await self.log.__aenter__()
        await self.log.flush()
        self.call()

    async def log_until_cancelled(self) -> None:
        async with self.log:
            print("ready", flush=True)
            while True:
                self.call(100)
                await asyncio.sleep(0)

    async def wait_until_told(self) -> None:
        async with self.log:
            await self.log.flush()
            self.call()
            print("ready", flush=True)
            await asyncio.Event().wait()

    def __del__(self) -> None:
        if self.calls_at_the_end:
            self.call()
            self.log.log_recent_nowait("api", "recent")
            self.log.log_common_nowait("a new one", "m" * 5000)


def sigterm_cancels(leaver: Leaver) -> None:
    """The usual way: a handler in the loop cancels the main task."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await leaver.log_until_cancelled()

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        leaver.report()


def sigterm_cancels_all(leaver: Leaver) -> None:
    """Every task is cancelled, the client's included, and `asyncio.run` cancels them once more."""

    def cancel_all() -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    async def main() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, cancel_all)
        await leaver.log_until_cancelled()

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        leaver.report()


def sigterm_exits(leaver: Leaver) -> None:
    """A handler below the loop raises SystemExit in the middle of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        asyncio.run(leaver.wait_until_told())
    finally:
        leaver.report()


def sigint(leaver: Leaver) -> None:
    """Control-C, which `asyncio.run` turns into a cancellation."""
    try:
        asyncio.run(leaver.log_until_cancelled())
    except KeyboardInterrupt:
        leaver.report()


def never_closed(leaver: Leaver) -> None:
    """The loop is shut down with the client open."""
    asyncio.run(leaver.enter())
    leaver.report()


def calls_at_exit(leaver: Leaver) -> None:
    """What runs at the interpreter's exit goes on logging."""
    atexit.register(leaver.report)
    atexit.register(leaver.call)
    asyncio.run(leaver.enter())


def loop_left(leaver: Leaver) -> None:
    """The loop is stopped, and neither it nor the client is closed."""
    leaver.loop = asyncio.new_event_loop()
    leaver.loop.run_until_complete(leaver.enter())


def loop_closed(leaver: Leaver) -> None:
    """The loop is closed under the client."""
    loop_left(leaver)
    assert leaver.loop is not None
    leaver.loop.close()


def loop_in_a_thread(leaver: Leaver) -> None:
    """The loop runs on in a daemon thread while the interpreter exits."""
    entered = threading.Event()

    async def main() -> None:
        await leaver.enter()
        entered.set()
        while True:
            await leaver.log.log_common("api", "m")

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    entered.wait()


def threads_call(leaver: Leaver) -> None:
    """Daemon threads are in the middle of calls as the interpreter exits."""
    asyncio.run(leaver.enter())
    called = threading.Barrier(5)

    def call() -> None:
        leaver.call()
        called.wait()
        while True:
            leaver.call()

    for _ in range(4):
        threading.Thread(target=call, daemon=True).start()
    called.wait()


def finalizers_call(leaver: Leaver) -> None:
    """A finalizer logs while modules are torn down, the last of all to be collected."""
    loop_left(leaver)
    leaver.calls_at_the_end = True
    vars(sys)["leaver"] = leaver
    vars(leaver.log)["cycle"] = leaver  # what the collector finds only at the end


WAYS = {
    way.__name__: way
    for way in (
        sigterm_cancels,
        sigterm_cancels_all,
        sigterm_exits,
        sigint,
        never_closed,
        calls_at_exit,
        loop_left,
        loop_closed,
        loop_in_a_thread,
        threads_call,
        finalizers_call,
    )
}

if __name__ == "__main__":
    WAYS[sys.argv[1]](Leaver(sys.argv[2]))
