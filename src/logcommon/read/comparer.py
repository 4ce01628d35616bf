"""Compares hours of one destination or of several, in a bounded number of commands.

Of each set only the most common messages are read: rarer ones can't have changed for certain.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from logcommon.messages.words import has_placeholder
from logcommon.model import Change, Comparison, Destination, Hour
from logcommon.read.compare import (
    MOST_FOR_DISPERSION,
    Difference,
    Ranking,
    Windows,
    best_of,
    change_of,
    comparison_of,
    pooled,
    rank,
    renamed,
)
from logcommon.read.executor import QueryExecutor
from logcommon.read.queries import counts_query, examples_query, scores_query
from logcommon.runtime.threads import run_in_thread

_MOST_READ = 3_000
"""Messages of all hours of both windows together that are read of a destination."""
_MOST_OF_HOUR = 500
_MOST_MEMBERS = 50
"""Templates of a merged one whose history is read."""

_Hourly = dict[Hour, dict[str, int]]


class Comparer:
    """Compares windows of hours.

    Args:
        executor: Executes the queries.
        held: The hours that each destination has counts of.
        windows: What to compare.
        by_service: The same for services that began to log in one of these hours.
        template: The rules of today, to recognize templates of older rules by their examples.

    """

    def __init__(
        self,
        executor: QueryExecutor,
        held: Mapping[Destination, Collection[Hour]],
        windows: Windows,
        by_service: Mapping[str, Windows],
        template: Callable[[str], str],
    ) -> None:
        self._executor = executor
        self._held = held
        self._windows = windows
        self._by_service = by_service
        self._template = template
        self._hourly: dict[Destination, _Hourly] = {}

    async def compare(self, n: int, *, merge: bool | None) -> Comparison:
        """Return the `n` changes that are largest for certain."""
        await self._read_windows()
        await self._read_history()
        names = await self._names()
        rankings = {
            each: await run_in_thread(
                partial(
                    rank, hourly, self._windows_of(each), merge=merge, names=names.get(each, {})
                )
            )
            for each, hourly in self._hourly.items()
        }

        changes = await self._changes(best_of(rankings, n), rankings)
        return comparison_of(changes, self._windows, rankings.values())

    async def _read_windows(self) -> None:
        """Read the most common messages of each hour of both windows."""
        wanted = {each: self._hours_of(each, in_windows=True) for each in self._held}
        answers = await self._executor.ask(
            {
                each: counts_query(each, _limit(hours), hours)
                for each, hours in wanted.items()
                if hours
            }
        )
        self._executor.report(answers.refused, answers.found)

        cut_off: dict[Destination, _Wanted] = {}
        for destination, hourly in answers.found.items():
            self._hourly[destination] = {hour: _summed(rows) for hour, rows in hourly.items()}
            hours = [hour for hour, rows in hourly.items() if len(rows) == _limit(hourly)]
            messages = {message for rows in hourly.values() for message, _ in rows}
            cut_off[destination] = _Wanted(sorted(messages), hours)
        await self._read_scores(cut_off)

    async def _read_history(self) -> None:
        """Read the counts of the most common messages in the other hours."""
        wanted = {}
        for destination, hourly in self._hourly.items():
            common = pooled(hourly.values()).most_common(MOST_FOR_DISPERSION)
            hours = self._hours_of(destination, in_windows=False)
            wanted[destination] = _Wanted([message for message, _ in common], hours)
        await self._read_scores(wanted)

    async def _read_scores(self, wanted: Mapping[Destination, "_Wanted"]) -> None:
        answers = await self._executor.ask(
            {each: scores_query(each, *what) for each, what in wanted.items() if all(what)}
        )
        self._executor.warn_of("some counts of a destination were", answers.refused)
        for destination, hourly in answers.found.items():
            for hour, counts in hourly.items():
                self._hourly[destination].setdefault(hour, {}).update(counts)

    def _hours_of(self, destination: Destination, *, in_windows: bool) -> list[Hour]:
        both = {*self._windows.after, *self._windows.before}
        return [hour for hour in self._held[destination] if (hour in both) == in_windows]

    def _windows_of(self, destination: Destination) -> Windows:
        return self._by_service.get(destination.name, self._windows)

    async def _names(self) -> dict[Destination, dict[str, str]]:
        """Return the templates of today of those that are not counted any more."""
        gone: dict[Destination, list[str]] = {}
        known: dict[Destination, set[str]] = {}
        for destination, hourly in self._hourly.items():
            after, before = (
                set(filter(has_placeholder, pooled(hourly.get(hour, {}) for hour in hours)))
                for hours in (self._windows.after, self._windows.before)
            )
            known[destination] = after - before
            if known[destination]:
                gone[destination] = sorted(before - after)
        examples = await self._examples(gone, max(self._windows.before))
        return {
            each: await run_in_thread(partial(renamed, found, self._template, known[each]))
            for each, found in examples.items()
        }

    async def _changes(
        self,
        best: Sequence[tuple[Destination, Difference]],
        rankings: Mapping[Destination, Ranking],
    ) -> list[Change]:
        """Return what users see of the best differences: with their history and an example."""
        members = {
            pair: rankings[pair[0]].members(pair[1].message)[:_MOST_MEMBERS] for pair in best
        }
        by_destination: dict[Destination, list[str]] = {}
        for (destination, _), messages in members.items():
            by_destination.setdefault(destination, []).extend(messages)
        await self._read_scores(
            {
                each: _Wanted(messages, self._hours_of(each, in_windows=False))
                for each, messages in by_destination.items()
            }
        )
        examples = await self._examples(by_destination, max(self._windows.after))

        changes = []
        for (destination, found), messages in members.items():
            seen = [
                hour
                for hour, counts in self._hourly[destination].items()
                if any(map(counts.get, messages))
            ]
            known = map(examples.get(destination, {}).get, messages)
            example = next(filter(None, known), None)
            changes.append(
                change_of(found, destination, self._windows_of(destination), seen, example)
            )
        return changes

    async def _examples(
        self, messages: Mapping[Destination, Sequence[str]], hour: Hour
    ) -> dict[Destination, dict[str, str]]:
        """Return examples of those of the messages that are templates, from an hour at best."""
        queries = {
            each: examples_query(each, templates, hour)
            for each, texts in messages.items()
            if (templates := list(filter(has_placeholder, texts)))
        }
        answers = await self._executor.ask(queries)
        self._executor.warn_of("examples were", answers.refused)
        return answers.found


class _Wanted(NamedTuple):
    """Messages, and the hours in which their counts are wanted."""

    messages: list[str]
    hours: list[Hour]


def _limit(hours: Collection[Hour]) -> int:
    """Return how many messages of each of these hours are read."""
    return min(_MOST_OF_HOUR, _MOST_READ // max(1, len(hours)))


def _summed(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return counts by message; messages that are not UTF-8 may read the same."""
    counts: dict[str, int] = {}
    for message, count in rows:
        counts[message] = counts.get(message, 0) + count
    return counts
