"""Locks on files. The kernel releases them when their process ends, even if it is killed."""

import os
import sys
import time
from pathlib import Path

from logcommon.server.directory import open_private

if sys.platform != "win32":  # pragma: no branch - Windows has no `flock`
    import fcntl

_INTERVAL = 0.01
"""Seconds between two attempts to take a lock."""


class FileLock:
    """A lock on a file (`flock`), taken exclusively by one holder or shared by many.

    A forked child has a copy of it, and so has a program that `descriptor` is passed to. It is held
    until one of them releases it, or all of them have closed it or ended.

    Args:
        path: The file, created if it does not exist. A symbolic link is refused.

    Raises:
        OSError: The file can't be opened.

    """

    def __init__(self, path: Path) -> None:
        self.descriptor: int = open_private(path)

    def acquire(self, timeout: float = 0, *, shared: bool = False) -> bool:
        """Take the lock, and return whether that succeeded in `timeout` seconds.

        If this lock is held already, it is released first, even if it then can't be taken.
        """
        deadline = time.monotonic() + timeout
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX

        while True:
            try:
                fcntl.flock(self.descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_INTERVAL)
            else:
                return True

    def release(self) -> None:
        """Give up the lock, for all that have a copy of it, and close the file."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.close()

    def close(self) -> None:
        """Close the file; a process with a copy of the lock keeps it."""
        os.close(self.descriptor)
