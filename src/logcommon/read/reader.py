"""Reads common and recent logs, of one destination or of several in one round trip."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import get_args

from redis.asyncio import Redis

from logcommon.exceptions import (
    ClusterUnsupportedError,
    InvalidArgumentError,
    ServerRefusedError,
)
from logcommon.messages.templates import template
from logcommon.messages.words import has_placeholder
from logcommon.model import (
    CommonRow,
    Comparison,
    Destination,
    Hour,
    Minute,
    Mute,
    RecentRow,
    Series,
    Severity,
    Summary,
    hour_of,
    hour_start,
)
from logcommon.read.compare import Windows
from logcommon.read.comparer import Comparer
from logcommon.read.executor import Answers, QueryExecutor
from logcommon.read.exposure import Lengths, beginnings, exposed, lengths_of
from logcommon.read.muting import Muting, is_over
from logcommon.read.newer import Snapshot
from logcommon.read.overview import (
    by_moment,
    history_of,
    matching,
    merge_common,
    merge_hours,
    merge_recent,
    merge_rows,
    named_destinations,
    texts_of,
    with_example,
)
from logcommon.read.queries import (
    HeldHours,
    examples_query,
    hours_query,
    minutes_query,
    mutes_query,
    recent_query,
    registry_query,
    scores_query,
    snapshot_query,
    top_query,
)
from logcommon.read.summary import Order, sorted_rows, summary_row, windows_of_history, with_text
from logcommon.read.windows import hour_containing
from logcommon.runtime.threads import run_in_thread
from logcommon.schema.rotation import HourState
from logcommon.settings import Settings

_MOST_MERGED = 10_000
"""The most templates of a destination that are merged: as many as a set has by default."""

_ALL_ROWS = 10_000
"""Rows that are read for a summary, to know their share and to sort them by bytes."""

_MOST_READS = 4
"""The most times that hours are read: once to learn the state, then until it stays the same."""


class Reader:
    """Reads through a client's own pool.

    Each destination is read in a transaction of its own, so it is seen at one moment. None for a
    name or a severity means all. Of several destinations, those that Redis refuses to read
    are left out with a warning, unless nothing would be left.

    Every method raises ServerUnavailableError if Redis can't be reached, ServerRefusedError, which
    names the key, if it refuses a command, and ClusterUnsupportedError if it is a cluster.
    """

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._executor = QueryExecutor(client)
        self._settings = settings

    @property
    def settings(self) -> Settings:
        """The settings of the client that reads."""
        return self._settings

    async def top(
        self,
        name: str | None,
        severity: Severity | None,
        n: int,
        hour: datetime | None,
        *,
        merge: bool | None = False,
    ) -> list[CommonRow]:
        """Return the `n` most common messages of `hour`, or of the current hour if it is None.

        `merge` says whether templates are merged; None means if there are any.
        """
        require_count(n)
        wanted = hour_of(self._settings.clock()) if hour is None else hour_containing(hour)

        destinations = await self._select(name, severity)
        read = n if merge is False else max(n, _MOST_MERGED)
        answers = await self._executor.ask(
            {each: top_query(each, read, wanted) for each in destinations}
        )
        found: list[list[CommonRow]] = list(answers.found.values())
        if merge is not False:
            found = [await self._merged(rows, always=merge is True) for rows in found]

        rows = merge_common(found, n)
        self._executor.report(answers.refused, rows)
        muting = await self._muting(rows)
        return await self._with_examples(muting.mark_rows(rows, wanted), wanted)

    async def summary(
        self,
        name: str | None,
        severity: Severity | None,
        n: int,
        hour: datetime | None,
        *,
        by: Order,
        text: str | None,
        merge: bool | None,
    ) -> Summary | None:
        """Return the first `n` messages of an hour, by default of the newest with counts."""
        require_count(n)
        if by not in get_args(Order):
            raise InvalidArgumentError(f"by must be count or bytes, not {by!r}")
        shown = hour or next(iter(await self.hours(name, severity)), None)
        if shown is None:
            return None

        rows = await self.top(name, severity, _ALL_ROWS, shown, merge=merge)
        now, calls = self._settings.clock(), sum(row.count for row in rows)
        rows = with_text(rows, text)
        first = sorted_rows(rows, by)[:n]
        histories = await self.histories(first)
        windows = [windows_of_history(history, shown, now) for history in histories]
        lengths = await self._lengths(
            await self.held_hours({row.destination.name for row in first}),
            {hour for each in windows for hour in (*each.after, *each.before)},
        )
        return Summary(
            hour_start(hour_containing(shown)),
            calls,
            len(rows),
            tuple(
                summary_row(row, history, each, calls, lengths.get(row.destination.name, {}), now)
                for row, history, each in zip(first, histories, windows, strict=True)
            ),
        )

    async def recent(self, name: str | None, severity: Severity | None, n: int) -> list[RecentRow]:
        """Return the `n` newest entries, newest first."""
        require_count(n)

        destinations = await self._select(name, severity)
        answers = await self._executor.ask({each: recent_query(each, n) for each in destinations})
        rows = merge_recent(answers.found.values(), n)
        self._executor.report(answers.refused, rows)
        return rows

    async def snapshots(
        self, name: str | None, severity: Severity | None
    ) -> dict[Destination, Snapshot]:
        """Return the recent log of each destination, with the calls of each minute."""
        destinations = await self._select(name, severity)
        answers = await self._executor.ask({each: snapshot_query(each) for each in destinations})
        self._executor.report(answers.refused, answers.found)
        return answers.found

    async def hours(self, name: str | None, severity: Severity | None) -> list[datetime]:
        """Return the hours that have counts, newest first, as their first moments in UTC."""
        answers = await self._ask_hours(await self._select(name, severity))
        hours = merge_hours(held.hours for held in answers.found.values())
        self._executor.report(answers.refused, hours)
        return hours

    async def minutes(
        self, name: str | None, severity: Severity | None, hours: int
    ) -> dict[Destination, dict[datetime, int]]:
        """Return the calls of each minute of the last `hours`, by its first moment in UTC."""
        require_count(hours, "hours")
        newest = hour_of(self._settings.clock())
        read = min(hours, self._settings.history_hours + 2)
        wanted = range(newest - read + 1, newest + 1)

        destinations = await self._select(name, severity)
        answers = await self._executor.ask(
            {each: minutes_query(each, wanted) for each in destinations}
        )
        self._executor.report(answers.refused, answers.found)
        return {each: by_moment(found) for each, found in answers.found.items() if found}

    async def hours_by_destination(self) -> dict[Destination, list[datetime]]:
        """Return the hours of every registered destination, in the order of destinations."""
        answers = await self._ask_hours(await self.destinations())
        hours = {destination: held.hours for destination, held in answers.found.items()}
        self._executor.report(answers.refused, hours)
        return hours

    async def compare(
        self,
        name: str | None,
        severity: Severity | None,
        n: int,
        windows: Callable[[Collection[Hour], float], Windows],
        *,
        merge: bool | None,
    ) -> Comparison:
        """Return the `n` changes that are largest for certain.

        `windows` returns what to compare, given the active hours and the time now.
        """
        require_count(n)
        wanted = named_destinations(name, severity)
        known = matching(await self.destinations(), name, None)
        answers = await self._ask_hours(sorted(wanted | known))

        held = {each: set(map(_hour, found.hours)) for each, found in answers.found.items()}
        self._executor.report(answers.refused, held)
        now = self._settings.clock()
        chosen = windows(set().union(*held.values()), now)
        lengths = await self._lengths(held, {*chosen.after, *chosen.before})
        selected = {each: held[each] for each in matching(held, name, severity)}
        by_service = {each: exposed(chosen, length, now) for each, length in lengths.items()}
        rules = self._settings.template or template
        comparer = Comparer(self._executor, selected, chosen, by_service, rules)
        found = await comparer.compare(n, merge=merge)
        muting = await self._muting(found.changes)
        return replace(found, changes=muting.mark_changes(found.changes))

    async def held_hours(self, names: Collection[str]) -> dict[Destination, set[Hour]]:
        """Return the hours that have counts, of all destinations of some services."""
        wanted = [each for each in await self.destinations() if each.name in names]
        answers = await self._ask_hours(wanted)
        return {each: set(map(_hour, found.hours)) for each, found in answers.found.items()}

    async def minutes_of(
        self, wanted: Mapping[Destination, Sequence[Hour]]
    ) -> dict[Destination, dict[Minute, int]]:
        """Return the calls of each minute of some hours of each destination."""
        answers = await self._executor.ask(
            {each: minutes_query(each, hours) for each, hours in wanted.items()}
        )
        self._executor.warn_of("the minutes were", answers.refused)
        return answers.found

    async def series(self, message: str, name: str | None, severity: Severity | None) -> Series:
        """Return how often a message was counted in each of the kept hours."""
        counts: Counter[Hour] = Counter()
        for hourly in (await self.counts_of(message, name, severity)).values():
            counts.update(hourly)
        return Series(message, {hour_start(hour): counts[hour] for hour in sorted(counts)})

    async def counts_of(
        self, message: str, name: str | None = None, severity: Severity | None = None
    ) -> dict[Destination, dict[Hour, int]]:
        """Return how often a message was counted in each kept hour of each destination."""
        answers = await self._ask_hours(await self._select(name, severity))
        queries = {
            each: scores_query(each, [message], list(map(_hour, found.hours)))
            for each, found in answers.found.items()
        }
        scores = await self._executor.ask(queries)
        self._executor.report(answers.refused | scores.refused, scores.found)
        return {
            destination: {hour: found[message] for hour, found in hourly.items()}
            for destination, hourly in scores.found.items()
        }

    async def mutes(self) -> list[Mute]:
        """Return the mutes that are not over, the oldest first."""
        now = self._settings.clock()
        held = await self._executor.ask_one(mutes_query())
        return [mute for mute in held if not is_over(mute, now)]

    async def histories(self, rows: Sequence[CommonRow]) -> list[Series]:
        """Return how often each row's message was counted in each of the kept hours."""
        messages: dict[Destination, list[str]] = {}
        for row in rows:
            messages.setdefault(row.destination, []).extend(texts_of(row))
        held = await self._ask_hours(messages)
        queries = {
            each: scores_query(each, messages[each], list(map(_hour, found.hours)))
            for each, found in held.found.items()
        }
        scores = await self._executor.ask(queries)
        self._executor.warn_of("the history was", held.refused | scores.refused)
        return [history_of(row, scores.found.get(row.destination, {})) for row in rows]

    async def destinations(self) -> list[Destination]:
        """Return every destination that was logged to through this package, in order."""
        return await self._executor.ask_one(registry_query())

    async def _lengths(
        self, held: Mapping[Destination, Collection[Hour]], wanted: Collection[Hour]
    ) -> Mapping[str, Lengths]:
        """Return the lengths of those of the hours in which services began to log."""
        minutes = await self.minutes_of(beginnings(held, wanted))
        return lengths_of(minutes, self._settings.clock())

    async def _muting(self, found: Collection[object]) -> Muting:
        """Return the mutes, if anything was found; without them, it is better than nothing."""
        mutes: list[Mute] = []
        if found:
            try:
                mutes = await self.mutes()
            except ClusterUnsupportedError:
                raise
            except ServerRefusedError as error:
                self._executor.warn(f"mutes were left out: {error}")
        return Muting(mutes, self._settings.clock())

    async def _merged(self, rows: list[CommonRow], *, always: bool) -> list[CommonRow]:
        if not always and not any(has_placeholder(row.message) for row in rows):
            return rows
        # In a thread: that of ten thousand templates takes a while.
        return await run_in_thread(partial(merge_rows, rows))

    async def _with_examples(self, rows: list[CommonRow], hour: Hour) -> list[CommonRow]:
        """Return rows with their examples; of a merged one, that of the most common template."""
        known: dict[Destination, list[str]] = {}
        for row in rows:
            template = row.merged[0].message if row.merged else row.message
            if has_placeholder(template):
                known.setdefault(row.destination, []).append(template)
        if not known:
            return rows

        queries = {each: examples_query(each, texts, hour) for each, texts in known.items()}
        answers = await self._executor.ask(queries)
        self._executor.warn_of("examples were", answers.refused)
        return [with_example(row, answers.found.get(row.destination, {})) for row in rows]

    async def _select(self, name: str | None, severity: Severity | None) -> list[Destination]:
        named = named_destinations(name, severity)
        if name is None or severity is None:
            named |= matching(await self.destinations(), name, severity)
        return sorted(named)

    async def _ask_hours(self, destinations: Iterable[Destination]) -> Answers[HeldHours]:
        answers: Answers[HeldHours] = Answers()
        assumed = dict.fromkeys(destinations, HourState(None, None))

        for _ in range(_MOST_READS):
            last = await self._executor.ask(
                {
                    each: hours_query(each, state, self._settings.history_hours)
                    for each, state in assumed.items()
                }
            )
            answers.add(last)
            # If the hour turns during every read, as with a backlog, the last read counts.
            assumed = {
                each: held.state for each, held in last.found.items() if held.state != assumed[each]
            }
        return answers


def require_count(n: int, what: str = "n") -> None:
    """Raise InvalidArgumentError unless `n` is a number of rows, or of what else is read."""
    if not isinstance(n, int) or n < 1:
        raise InvalidArgumentError(f"{what} must be a whole number of at least 1, not {n!r}")


def _hour(start: datetime) -> Hour:
    return hour_of(start.timestamp())
