"""A process whose spool can't grow, until it is killed.

Run as `python filling.py URL SPOOL`. It says when its first entry is in Redis. From then on its
files may not grow, as on a disk that is full, and it logs 1,000 messages.
"""

import asyncio
import resource
import sys

import logcommon

_BYTES = 500


async def main(url: str, spool: str) -> None:
    async with logcommon.connect(url, spool=spool) as log:
        await log.log_common("api", "first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (_BYTES, -1))
        print("full", flush=True)
        for number in range(1000):
            log.log_common_nowait("api", str(number))
        await log.flush()
        print("flushed", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
