"""One of many producer processes of `scale.py`: logs the same messages again and again.

Run as `python _scale_producer.py URL DISTINCT SECONDS LINGER`. It waits for a line on standard
input, so that all begin together.
"""

import asyncio
import json
import sys
import time

import logcommon

_PAUSE = 0.01
"""Seconds between two rounds of messages, so that every commit has all of them."""


async def main(url: str, distinct: int, seconds: float, linger: float) -> None:
    """Log for some seconds, and print what that took."""
    messages = [f"message {number:05} of a service" for number in range(distinct)]
    async with logcommon.connect(url, linger=linger) as log:
        await log.log_common("shop", messages[0])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

        before, cpu, until = log.stats.commits, time.process_time(), time.monotonic() + seconds
        while time.monotonic() < until:
            for message in messages:
                log.log_common_nowait("shop", message)
            await asyncio.sleep(max(_PAUSE, linger / 3))
        commits, cpu = log.stats.commits - before, time.process_time() - cpu
        await log.flush()
        print(json.dumps({"commits": commits, "cpu": cpu, "calls": log.stats.calls}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
