"""A process that logs a hundred calls at a time with a spool, until it is killed.

Run as `python spooling.py URL SPOOL NAME`. It prints how many calls are in Redis. The calls are
distinct, and count as seven templates.
"""

import asyncio
import sys

import logcommon


async def main(url: str, spool: str, name: str) -> None:
    async with logcommon.connect(url, spool=spool, template=lambda text: text[0]) as log:
        number = 0
        while True:
            for _ in range(100):
                log.log_common_nowait(name, f"{number % 7} of {number}")
                number += 1
            await log.flush()
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
