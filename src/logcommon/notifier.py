"""Sends changes to chats, phones and mailboxes, through apprise (extra `alerts`)."""

import contextlib
import queue
import threading
import time
import warnings
from collections.abc import Iterable
from typing import Protocol

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Change
from logcommon.runtime.warnings import RateLimitedWarnings

_MOST_WAITING = 100
"""Changes that wait for a target: a target that is slower than that has an incident of its own."""

_LONGEST_TITLE = 120
_LONGEST_TEXT = 1_000


class Notifier:
    """Sends changes to targets, each in a thread of its own, so that none holds up another.

    A change that can't be delivered is sent again, after a pause that doubles. Then, or if too many
    wait, it is dropped, and the logger `logcommon` warns.

    Args:
        urls: Where to send, as apprise has it: `slack://…`, `mailto://…`, `json://…`. The seconds
            that it may take to connect and to read can be set in a URL: `?cto=4&rto=4`.
        attempts: How often each change is sent until it is given up.
        pause: Seconds before the second attempt.

    Raises:
        InvalidArgumentError: A URL can't be used.
        ImportError: apprise is not installed.

    """

    def __init__(self, urls: Iterable[str], *, attempts: int = 4, pause: float = 2.0) -> None:
        services = [_service(url, number) for number, url in enumerate(urls, 1)]
        warn = RateLimitedWarnings()
        self._targets = [
            _Target(f"target {number}", service, warn, attempts, pause)
            for number, service in enumerate(services, 1)
        ]

    def send(self, change: Change) -> None:
        """Send a change to all targets; return at once."""
        text = title_of(change), body_of(change)
        for target in self._targets:
            target.put(text)

    def close(self, timeout: float = 5.0) -> int:
        """Wait for what is being sent; return how many changes were not delivered in time.

        Args:
            timeout: Seconds to wait, for all targets together.

        """
        deadline = time.monotonic() + timeout
        for target in self._targets:
            target.finish()
        return sum(target.join(deadline) for target in self._targets)


class _Service(Protocol):
    """What apprise has for a URL."""

    def notify(self, body: str, title: str) -> object:
        """Send a text; what it returns is true if the other side has taken it."""


class _Target:
    """A queue, and a thread that sends what is in it."""

    def __init__(
        self,
        name: str,
        service: _Service,
        warnings: RateLimitedWarnings,
        attempts: int,
        pause: float,
    ) -> None:
        self._name = name
        self._service = service
        self._warnings = warnings
        self._attempts = attempts
        self._pause = pause
        self._waiting: queue.Queue[tuple[str, str] | None] = queue.Queue(_MOST_WAITING)
        self._accepted = 0
        self._delivered = 0
        self._is_closing = threading.Event()
        # A daemon, as no target may keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"logcommon {name}", daemon=True)
        self._thread.start()

    def put(self, text: tuple[str, str]) -> None:
        """Send a text when those before it are sent, unless there are too many."""
        try:
            self._waiting.put_nowait(text)
            self._accepted += 1
        except queue.Full:
            self._warn("too slow, so a change was not sent")

    def finish(self) -> None:
        """Let the thread end when all is sent; what fails now is not sent again."""
        self._is_closing.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def join(self, deadline: float) -> int:
        """Wait until the thread has ended; return how many texts were not delivered."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return self._accepted - self._delivered

    def _run(self) -> None:
        while not (self._is_closing.is_set() and self._waiting.empty()):
            text = self._waiting.get()
            if text is not None and self._deliver(*text):
                self._delivered += 1
            elif text is not None:
                self._warn("a change could not be delivered")

    def _deliver(self, title: str, body: str) -> bool:
        pause = self._pause
        for attempt in range(self._attempts):
            if attempt and self._is_closing.wait(pause):
                return False
            pause *= 2 if attempt else 1
            with contextlib.suppress(Exception):  # a plugin's own error is a failure as well
                if self._service.notify(body, title):
                    return True
        return False

    def _warn(self, problem: str) -> None:
        self._warnings.warn(f"{self._name} {problem}", f"{self._name}: {problem}")


def title_of(change: Change) -> str:
    """Return the kind, the place and the beginning of the message, on one line."""
    name, severity = change.destination
    title = " ".join(f"{change.kind} in {name} ({severity}): {change.message}".split())
    return title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"


def body_of(change: Change) -> str:
    """Return the message, how its rate has changed, and an example."""
    rates = f"{change.rate_after:,.0f} calls an hour, {change.rate_before:,.0f} before"
    lines = [change.message[:_LONGEST_TEXT], f"{rates}: at least {change.at_least:,.1f} times"]
    if change.example is not None:
        lines.append(f"for example: {change.example[:_LONGEST_TEXT]}")
    return "\n".join(lines)


def _service(url: str, number: int) -> _Service:
    with warnings.catch_warnings():
        # Some of apprise's plugins import modules that are deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import apprise
        except ModuleNotFoundError as missing:
            raise ImportError(
                f"{missing.name} is not installed: pip install 'apprise>=1.9'", name=missing.name
            ) from missing
        service = apprise.Apprise()
        if not service.add(url):
            # Not the URL itself, which has credentials in it.
            raise InvalidArgumentError(f"target {number} is no URL that apprise knows")
    return service
