"""The keepers of one client: starts one if there is none, and closes all."""

import contextlib
import time
from collections.abc import Callable

from logcommon.runtime import fork
from logcommon.runtime.keeper import Keeper, Openable

_RETRY_DELAY = 1.0
"""Seconds until a client that could not be opened is tried again."""


class Keepers:
    """Starts, closes and joins the keepers of a client, without locks, as `Keeper` explains.

    Args:
        log: The client.
        timeout: Seconds that closing it may take, unless `close` says otherwise.
        on_open: Called with a keeper, in its thread, once the client is open.
        on_close: Called in a keeper's thread before the client is closed.
        on_failure: Called in a keeper's thread with the error if the client can't be opened.

    """

    def __init__(
        self,
        log: Openable,
        timeout: float,
        on_open: Callable[[Keeper], None],
        on_close: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._log = log
        self._timeout = timeout
        self._on_open = on_open
        self._on_close = on_close
        self._on_failure = on_failure
        self._reset()

    def _reset(self) -> None:
        self._started: set[Keeper] = set()
        self._active: dict[str, Keeper] = {}
        self._not_before = float("-inf")

    def reset_after_fork(self) -> None:
        """Forget the parent's keepers in a forked child."""
        # Closing their event loops here would take the parent's connections out of its selectors.
        fork.keep_alive(list(self._started))
        self._reset()

    @property
    def is_alive(self) -> bool:
        """Whether a keeper's thread runs."""
        return any(keeper.is_alive for keeper in self._known())

    def require(self) -> Keeper | None:
        """Return an available keeper, starting one if needed; None if that is impossible now."""
        for keeper in self._known():
            if keeper.is_available:
                return keeper
        if time.monotonic() < self._not_before:
            return None

        try:
            keeper = self.make()
        except OSError:  # too many open files
            return None
        self._started.add(keeper)
        return keeper if keeper.start() else None

    def make(self) -> Keeper:
        """Return a new keeper, which is not started."""
        return Keeper(
            self._log,
            self._timeout,
            self._active,
            self._on_open,
            self._on_close,
            self._failed,
        )

    def close(self, timeout: float) -> None:
        """Tell all keepers to close the client within `timeout` seconds; return at once."""
        for keeper in self._known():
            keeper.close(timeout)

    def join(self, deadline: float) -> None:
        """Wait until all keepers have ended, or until `deadline` by the monotonic clock."""
        for keeper in self._known():
            keeper.join(deadline - time.monotonic())
            if not keeper.is_alive:
                self._started.discard(keeper)

    def run_here(self, timeout: float) -> None:
        """Write what is pending within `timeout` seconds, in the caller's thread."""
        with contextlib.suppress(OSError, RuntimeError):
            keeper = self.make()
            keeper.close(timeout)
            keeper.run_here()

    def _known(self) -> set[Keeper]:
        return {*self._active.values(), *tuple(self._started)}

    def _failed(self, error: Exception) -> None:
        self._not_before = time.monotonic() + _RETRY_DELAY
        self._on_failure(error)
