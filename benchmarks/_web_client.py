"""The client process of `web.py`: requests over connections kept alive, one after the other.

For each line `PORT SECONDS` on its standard input it prints a line of JSON: how many requests were
answered with 200, in how many seconds, and what the median and the slowest hundredth of them took.
"""

import asyncio
import json
import sys
import time

CONNECTIONS = 32
_REQUEST = b"GET /orders/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
_END_OF_HEAD, _LENGTH = b"\r\n\r\n", b"content-length:"


async def ask(port: int, end: float) -> list[float]:
    """Send one request after the other until `end`; return how many seconds each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken: list[float] = []

    while (begin := time.perf_counter()) < end:
        writer.write(_REQUEST % len(taken))
        head = (await reader.readuntil(_END_OF_HEAD)).lower()
        await reader.readexactly(int(head.partition(_LENGTH)[2].partition(b"\r\n")[0]))
        if b" 200 " not in head[:16]:
            raise SystemExit(f"not answered with 200: {head[:40]!r}")
        taken.append(time.perf_counter() - begin)

    writer.close()
    return taken


async def measure(port: int, seconds: float) -> dict[str, float]:
    """Ask over many connections at the same time."""
    begin = time.perf_counter()
    shares = await asyncio.gather(*(ask(port, begin + seconds) for _ in range(CONNECTIONS)))
    elapsed = time.perf_counter() - begin
    taken = sorted(each for share in shares for each in share)
    median, slow = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    return {"requests": len(taken), "seconds": elapsed, "p50": median, "p99": slow}


def main() -> None:
    """Answer each line of standard input."""
    for line in sys.stdin:
        port, seconds = line.split()
        print(json.dumps(asyncio.run(measure(int(port), float(seconds)))), flush=True)


if __name__ == "__main__":
    main()
