"""Calls the hook `template`, and remembers what it returned. No I/O."""

import time
from collections.abc import Callable, Iterable, Iterator

from logcommon.model import FixedText, cut_message, plain_text
from logcommon.runtime.reentrancy import ReentrancyGuard

_STEP = 0.001
"""Seconds of work before others get their turn."""

_MOST_KNOWN = 4096
"""Messages, and templates, that are remembered beyond a commit."""


class Templating:
    """Turns messages into templates, and remembers them; thread-safe.

    Args:
        function: The hook.
        longest: The most bytes that a template may have.

    """

    def __init__(self, function: Callable[[str], str], longest: int) -> None:
        self._function = function
        self._longest = longest
        self._pending: dict[str, FixedText] = {}
        self._known: dict[str, FixedText] = {}
        self._templates: dict[str, FixedText] = {}
        self._guard = ReentrancyGuard()

    def template_of(self, message: str) -> FixedText:
        """Return what a message is counted as: itself, if the hook fails or calls this again."""
        if message.__class__ is FixedText:
            return message
        return self._pending.get(message) or self._known.get(message) or self._compute(message)

    def example(self, message: str) -> str:
        """Return a message as an example of its template, cut to its bound."""
        return cut_message(message, self._longest)

    def learn(self, messages: Iterable[str]) -> Iterator[None]:
        """Remember the templates of messages until `forget`, in short steps: yields after each."""
        pending, until = self._pending, time.perf_counter() + _STEP
        for message in messages:
            pending[message] = self.template_of(message)
            if time.perf_counter() >= until:
                yield
                until = time.perf_counter() + _STEP

    def forget(self) -> None:
        """Remember only the messages that were new most recently."""
        self._pending = {}

    def _compute(self, message: str) -> FixedText:
        text = self._call(message)
        template = self._templates.get(text)
        if template is None:
            template = FixedText(cut_message(plain_text(text), self._longest))
            _remember(self._templates, text, template)
        _remember(self._known, message, template)
        return template

    def _call(self, message: str) -> str:
        thread = self._guard.thread
        if thread.is_inside:
            return message  # the hook logs, and would be called for ever
        try:
            thread.is_inside = True
            return str(self._function(message))
        except Exception:  # noqa: BLE001  # a hook must not keep a message from being counted
            return message
        finally:
            thread.is_inside = False


def _remember(known: dict[str, FixedText], text: str, template: FixedText) -> None:
    if len(known) >= _MOST_KNOWN:
        for oldest in list(known)[: _MOST_KNOWN // 2]:
            known.pop(oldest, None)  # another thread may have removed it
    known[text] = template
