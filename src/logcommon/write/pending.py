"""The counts that wait to be drained. No I/O, no locks.

A change is worked out beside the current state, and then published in one step that nothing can
interrupt, unless another thread has published meanwhile. So it is optimistic, like the transaction
in Redis. An exception from a signal handler, at any point, leaves all of the change done or none of
it, and there is no lock that it could leave behind.
"""

from collections.abc import Iterable, Iterator, MutableSequence
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar

from logcommon.model import Destination, Group
from logcommon.runtime.atomic import Step, atomically, read_atomically
from logcommon.settings import Settings
from logcommon.write.batch import Batch, Counts, Entry, Examples, Minutes, Recent, split
from logcommon.write.fold import Before, Fold, Usage
from logcommon.write.templating import Templating

_Counted = TypeVar("_Counted", str, int)


class Tally:
    """The entries of one destination that are not folded yet."""

    __slots__ = ("common", "destination", "recent_only")

    def __init__(self, destination: Destination) -> None:
        self.destination: Destination = destination
        self.common: list[Entry] = []
        self.recent_only: list[Entry] = []


class Totals(NamedTuple):
    """What folding has added up to."""

    calls: int = 0
    recent_calls: int = 0
    dropped: int = 0
    waiting: int = 0
    """Calls that the counts stand for."""
    usage: Usage = Usage()


class Sealed(NamedTuple):
    """Counts that no fold can reach any more, and how many calls they stand for."""

    counts: Counts
    minutes: Minutes
    recent: Recent
    calls: int


class Pending:
    """Counts and recent entries, from the fold that adds to them to the drain that takes them.

    Args:
        settings: The bounds.
        templating: Turns messages into templates as they leave, or None.

    """

    def __init__(self, settings: Settings, templating: Templating | None = None) -> None:
        self._settings = settings
        self._templating = templating
        self._version = [0]
        self._counts: Counts = {}
        self._minutes: Minutes = {}
        self._recent: Recent = {}
        self._totals = Totals()
        self._sealed: list[Sealed] = []
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether what is folded is dropped."""
        return self._closed

    @property
    def is_empty(self) -> bool:
        """Whether nothing was folded since the last drain."""
        return not (self._counts or self._recent)

    @property
    def is_half_full(self) -> bool:
        """Whether half of the room for distinct messages is taken."""
        usage, settings = self._totals.usage, self._settings
        return (
            usage.distinct * 2 >= settings.max_pending
            or usage.size * 2 >= settings.max_pending_bytes
        )

    def read_steps(self) -> list[Step]:
        """Return the steps that read the totals, whether this is closed, and what is sealed."""
        return [
            partial(getattr, self, "_totals"),
            partial(getattr, self, "_closed"),
            partial(tuple, self._sealed),
        ]

    def fold(self, tallies: Iterable[Tally], recent_limit: int, *, reopen: bool = False) -> bool:
        """Move the entries so far into the counts, or drop them if this is closed.

        Args:
            tallies: Where the entries are.
            recent_limit: How many recent entries a destination may have from now on.
            reopen: Stop dropping after these.

        Returns:
            False if another thread has published meanwhile: then nothing was changed.

        """
        version, closed = self._version[:], self._closed
        totals, counts, minutes, recent = self._totals, self._counts, self._minutes, self._recent
        before = Before(counts, minutes, recent, totals.usage)
        fold = Fold(before, self._settings, recent_limit, self._templating)
        calls, recent_calls = 0, 0
        steps: list[Step] = []

        for tally in tallies:
            common, recent_only = tally.common[:], tally.recent_only[:]
            if not (common or recent_only):
                continue
            if not closed:
                fold.add(tally.destination, common, recent_only)
            calls, recent_calls = calls + len(common), recent_calls + len(recent_only)
            steps += _removal(common, tally.common), _removal(recent_only, tally.recent_only)
        fold.trim_recent()

        folded = Totals(
            calls=totals.calls + calls,
            recent_calls=totals.recent_calls + recent_calls,
            dropped=totals.dropped + calls * closed,
            waiting=totals.waiting + calls * (not closed),
            usage=fold.usage,
        )
        return self._publish(
            version,
            *steps,
            *_count_steps(counts, fold.counts),
            *_count_steps(minutes, fold.minutes),
            partial(recent.update, fold.recent),
            partial(setattr, self, "_totals", folded),
            partial(setattr, self, "_closed", closed and not reopen),
        )

    def messages(self) -> list[str]:
        """Return the distinct messages of each group, those that are sealed first."""
        counts = [*(sealed.counts for sealed in self._sealed), self._counts]
        # Each copy is one step: other threads go on counting.
        copies = (list(found) for each in counts for found in list(each.values()))
        return list(chain.from_iterable(copies))

    def seal(self, *, close: bool) -> bool:
        """Put the counts aside for `move`; with `close`, drop what is folded from now on.

        Return False if another thread has published meanwhile: then nothing was changed.
        """
        version, totals = self._version[:], self._totals
        sealed = Sealed(self._counts, self._minutes, self._recent, totals.waiting)
        steps: list[Step] = [partial(setattr, self, "_closed", self._closed or close)]

        if sealed.counts or sealed.recent:
            steps += (
                partial(self._sealed.append, sealed),
                partial(setattr, self, "_counts", {}),
                partial(setattr, self, "_minutes", {}),
                partial(setattr, self, "_recent", {}),
                partial(setattr, self, "_totals", totals._replace(waiting=0, usage=Usage())),
            )
        return self._publish(version, *steps)

    def move(self, batch_size: int, onto: MutableSequence[Batch]) -> None:
        """Move all that is sealed to the end of `onto`, as batches of at most `batch_size`."""
        while self._sealed:
            batches = list(self._split(self._sealed[0], batch_size))
            atomically(partial(onto.extend, batches), partial(self._sealed.pop, 0))
        if self._templating is not None:
            self._templating.forget()

    def copy(self, batch_size: int) -> list[Batch]:
        """Return the batches that `seal` and `move` would move, without moving them."""
        sealed, counts, minutes, recent = read_atomically(
            partial(tuple, self._sealed),
            *(partial(getattr, self, name) for name in ("_counts", "_minutes", "_recent")),
        )
        # Each copy is one step: other threads go on counting.
        counts = {group: dict(messages) for group, messages in list(counts.items())}
        minutes = {group: dict(calls) for group, calls in list(minutes.items())}
        waiting = [*sealed, Sealed(counts, minutes, dict(recent), 0)]
        return [batch for each in waiting for batch in self._split(each, batch_size)]

    def _split(self, sealed: Sealed, batch_size: int) -> Iterator[Batch]:
        counts, minutes, recent, _ = sealed
        whole = Batch(counts, recent, minutes=minutes)
        if self._templating is not None:
            whole.counts, whole.examples = _templates(counts, self._templating)
        return split(whole, batch_size)

    def _publish(self, version: list[int], *steps: Step) -> bool:
        """Take `steps` unless another thread published since `version` was read; return whether."""
        # It is empty in the middle of a publication, which the garbage collector can interrupt
        # with a finalizer that logs.
        if not version:
            return False

        try:
            atomically(
                partial(self._version.remove, version[0]),
                *steps,
                partial(self._version.append, version[0] + 1),
            )
        except ValueError:
            return False
        return True


def _removal(taken: list[Entry], entries: list[Entry]) -> Step:
    """Return the step that removes what was taken; what was appended meanwhile stays."""
    return partial(entries.__delitem__, slice(len(taken)))


def _templates(counts: Counts, templating: Templating) -> tuple[Counts, Examples]:
    """Return the counts of the templates, and for each template the message that came last."""
    templates: Counts = {}
    examples: Examples = {}
    for group, messages in counts.items():
        amounts = templates[group] = {}
        found = examples[group] = {}
        for message, amount in messages.items():
            template = templating.template_of(message)
            amounts[template] = amounts.get(template, 0) + amount
            if message != template:
                found[template] = message
        found.update((template, templating.example(text)) for template, text in found.items())
    return templates, examples


def _count_steps(
    counts: dict[Group, dict[_Counted, int]], changed: dict[Group, dict[_Counted, int]]
) -> list[Step]:
    """Return the steps that put the changed amounts in place."""
    steps: list[Step] = []
    for group, amounts in changed.items():
        before = counts.get(group)
        steps.append(
            partial(counts.__setitem__, group, amounts)
            if before is None
            else partial(before.update, amounts)
        )
    return steps
