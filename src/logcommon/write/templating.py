"""Calls the hook `template`, and remembers what it returned. No I/O."""

import time
from collections.abc import Callable, Iterable, Iterator

from logcommon.model import FixedText, cut_message, plain_text
from logcommon.runtime.reentrancy import ReentrancyGuard

_STEP = 0.001
"""Seconds of work before others get their turn."""

_MOST_KNOWN = 20_000
_MOST_KNOWN_BYTES = 16 * 1024 * 1024


class Templating:
    """Turns messages into templates, at most once while a message is remembered; thread-safe.

    Args:
        function: The hook.
        longest: The most bytes that a template may have.

    """

    def __init__(self, function: Callable[[str], str], longest: int) -> None:
        self._function = function
        self._longest = longest
        self._most_known = min(_MOST_KNOWN, _MOST_KNOWN_BYTES // longest)
        self._known: dict[str, FixedText] = {}
        self._guard = ReentrancyGuard()

    def template_of(self, message: str) -> FixedText:
        """Return what a message is counted as: itself, if the hook fails or calls this again."""
        if message.__class__ is FixedText:
            return message
        known = self._known.get(message)
        return self._learn(message) if known is None else known

    def example(self, message: str) -> str:
        """Return a message as an example of its template, cut to its bound."""
        return cut_message(message, self._longest)

    def learn(self, messages: Iterable[str]) -> Iterator[None]:
        """Remember the templates of messages, in short steps: yields after each."""
        until = time.perf_counter() + _STEP
        for message in messages:
            self.template_of(message)
            if time.perf_counter() >= until:
                yield
                until = time.perf_counter() + _STEP

    def _learn(self, message: str) -> FixedText:
        template = FixedText(cut_message(self._call(message), self._longest))
        # The oldest half goes, and not all: else each would be computed twice in a large batch.
        if len(self._known) >= self._most_known:
            self._known = dict(list(self._known.items())[self._most_known // 2 :])
        self._known[message] = template
        return template

    def _call(self, message: str) -> str:
        thread = self._guard.thread
        if thread.is_inside:
            return message  # the hook logs, and would be called for ever
        try:
            thread.is_inside = True
            return plain_text(str(self._function(message)))
        except Exception:  # noqa: BLE001  # a hook must not keep a message from being counted
            return message
        finally:
            thread.is_inside = False
