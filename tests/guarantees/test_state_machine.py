"""Anything that may happen, in any order, against a model that is a plain Counter.

Two producers and other programs log to the same destinations, each by a clock of its own, while
hypothesis turns the clocks, breaks the network and ends producers. Time is the event loop's own, so
that nothing waits and a failure can be run again as it was.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import pytest
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.exceptions import ConnectionError as LostConnectionError

import logcommon
from logcommon.exceptions import ClientClosedError
from logcommon.model import Hour, parse_hour
from logcommon.schema.commands import EXEC, MULTI
from logcommon.server.connection import dedicated_connection, exchange
from support.book import log_common as book_log_common
from support.clock import NOON, HandClock
from support.layout import read_counts, read_minutes
from support.network import FAULTS, TRANSIT, Fault, Network, UnhurriedLoop

SLOTS = st.integers(0, 1)
NAMES = ("api", "web", "jobs")
NAME = st.sampled_from(NAMES)
LETTER = st.sampled_from("abc")
SKEW = st.integers(-3, 3)
CALLS = st.lists(st.tuples(SLOTS, SKEW, NAME, LETTER), min_size=2, max_size=8)
FAULT_LIST = st.lists(st.sampled_from(FAULTS), max_size=3)

LATEST = NOON + 12  # less than the history, so nothing is ever too late
MOST_PRODUCERS = 6

LONGEST_WAIT = 60
"""Seconds, by the loop's clock, in which whatever is waited for has come long ago."""

_Result = TypeVar("_Result")


class Entry(NamedTuple):
    """One message of one hour of one destination."""

    name: str
    hour: Hour
    message: str


Entries = Counter[Entry]


@dataclass
class Producer:
    """One client, from its start to its end, and the model of what it has logged."""

    number: int
    clock: HandClock
    network: Network
    log: logcommon.CommonLog
    put: Entries = field(default_factory=Counter)
    written: Entries = field(default_factory=Counter)
    """Of these, what the client has said is written."""

    def owns(self, entry: Entry) -> bool:
        return entry.message.endswith(f" {self.number}")


def is_books(entry: Entry) -> bool:
    return entry.message.endswith("of the book")


class Histories(RuleBasedStateMachine):
    """What may happen, one rule each, and what must hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.server = FakeServer()
        self.runner = asyncio.Runner(loop_factory=UnhurriedLoop)
        # Whoever looks has a loop of his own, so that looking lets nobody go on.
        self.onlooker = asyncio.Runner()
        self.eyes = FakeAsyncRedis(server=self.server)
        self.book = FakeRedis(server=self.server)
        self.ours = FakeAsyncRedis(server=self.server)
        self.foreign: Entries = Counter()
        self.overwritten: Entries = Counter()
        self.stood: dict[str, Hour] = {}
        self.hour = NOON
        self.producers: list[Producer] = []
        self.running = [self._started(HandClock()) for _ in range(2)]

    def _run(self, coroutine: Coroutine[None, None, _Result]) -> _Result:
        return self.runner.run(asyncio.wait_for(coroutine, LONGEST_WAIT))

    def _started(self, clock: HandClock) -> Producer:
        network = Network(self.server)
        log = logcommon.connect(
            network.client(), clock=clock, commit_timeout=2, drain_timeout=20, template=str.lower
        )
        self._run(log.__aenter__())
        self.producers.append(Producer(len(self.producers), clock, network, log))
        return self.producers[-1]

    def _replaced(self, slot: int) -> Producer:
        """Close a producer and start another in its place; return the one that was closed."""
        producer = self.running[slot]
        self._run(producer.log.__aexit__(None, None, None))
        self.running[slot] = self._started(producer.clock)
        assert producer.log.stats.pending == 0
        return producer

    @precondition(lambda self: self.hour < LATEST)
    @rule(hours=st.integers(1, 2))
    def turn_hour(self, hours: int) -> None:
        self.hour += hours

    @rule(calls=CALLS, faults=st.dictionaries(SLOTS, FAULT_LIST))
    def put(self, calls: list[tuple[int, int, str, str]], faults: dict[int, list[Fault]]) -> None:
        """Log with skewed clocks while the network is about to break."""
        for slot, skew, name, letter in calls:
            entry = self._entry(slot, skew, name, letter)
            self.running[slot].log.log_common_nowait(name, self._spelled(entry))
        for slot, kinds in faults.items():
            self.running[slot].network.faults = deque(kinds)

    @rule(slot=SLOTS, skew=SKEW, name=NAME, letter=LETTER, faults=FAULT_LIST)
    def put_and_wait(
        self, slot: int, skew: int, name: str, letter: str, faults: list[Fault]
    ) -> None:
        producer = self.running[slot]
        producer.network.faults = deque(faults)
        entry = self._entry(slot, skew, name, letter)
        self._run(producer.log.log_common(name, self._spelled(entry)))
        producer.written[entry] = producer.put[entry]

    def _entry(self, slot: int, skew: int, name: str, letter: str) -> Entry:
        """Turn a producer's clock, and note what it is about to log."""
        producer = self.running[slot]
        producer.clock.turn(self.hour + skew - producer.clock.hour)
        entry = Entry(name, producer.clock.hour, f"{letter} {producer.number}")
        producer.put[entry] += 1
        return entry

    def _spelled(self, entry: Entry) -> str:
        """Return one of the messages that have this template."""
        is_odd = sum(producer.put[entry] for producer in self.producers) % 2
        return entry.message.upper() if is_odd else entry.message

    @rule(slots=st.sampled_from([(0,), (1,), (0, 1)]))
    def flush(self, slots: tuple[int, ...]) -> None:
        producers = [self.running[slot] for slot in slots]

        async def flush() -> None:
            await asyncio.gather(*(producer.log.flush() for producer in producers))

        self._run(flush())
        for producer in producers:
            producer.written |= producer.put

    @rule(moments=st.integers(1, 8))
    def let_pass(self, moments: int) -> None:
        """Stop in the middle of whatever is in progress."""
        self._run(asyncio.sleep(moments * TRANSIT))

    @precondition(lambda self: any(each.network.late for each in self.producers))
    @rule()
    def deliver_late(self) -> None:
        for producer in self.producers:
            producer.network.deliver_late()

    @precondition(lambda self: len(self.producers) < MOST_PRODUCERS)
    @rule(slot=SLOTS)
    def restart(self, slot: int) -> None:
        producer = self._replaced(slot)
        producer.written |= producer.put

    @precondition(lambda self: len(self.producers) < MOST_PRODUCERS)
    @rule(slot=SLOTS, skew=SKEW, name=NAME, letter=LETTER, last=st.sampled_from([None, *FAULTS]))
    def kill(self, slot: int, skew: int, name: str, letter: str, last: Fault | None) -> None:
        """End a producer that has logged and can reach the server once more or not at all."""
        entry = self._entry(slot, skew, name, letter)
        self.running[slot].log.log_common_nowait(name, self._spelled(entry))
        self.running[slot].network.end(last)
        self._replaced(slot)

    @rule(name=NAME, letter=LETTER, skew=SKEW)
    def other_program(self, name: str, letter: str, skew: int) -> None:
        self._run(self._log_as_other_program(name, letter, self.hour + skew))

    @rule(slot=SLOTS, names=st.sets(NAME, min_size=1), letter=LETTER, skew=SKEW)
    def other_program_under_the_lock(
        self, slot: int, names: set[str], letter: str, skew: int
    ) -> None:
        """Log just before a producer's next transaction arrives."""
        hour = self.hour + skew

        async def log() -> None:
            for name in sorted(names):
                await self._log_as_other_program(name, letter, hour)

        self.running[slot].network.before_next = log

    async def _log_as_other_program(self, name: str, letter: str, hour: Hour) -> None:
        message = f"{letter} of ours"
        await logcommon.log_common(self.ours, name, message, clock=HandClock(hour))
        self.foreign[Entry(name, hour, message)] += 1

    @rule(name=NAME, letter=LETTER, skew=SKEW)
    def books_program(self, name: str, letter: str, skew: int) -> None:
        """Count as the book does: in the current hour if the clock is slow; two hours are kept."""
        hour = self.hour + skew
        start, previous = self._hours(name)
        if start is not None and start < hour:
            self.overwritten.update(
                {
                    entry: amount
                    for entry, amount in self._in_redis().items()
                    if (entry.name, entry.hour) == (name, previous)
                }
            )

        message = f"{letter} of the book"
        book_log_common(self.book, name, message, clock=HandClock(hour))
        self.foreign[Entry(name, max(start or hour, hour), message)] += 1

    @invariant()
    def counts_are_exact(self) -> None:
        held = self._in_redis() + self.overwritten
        for producer in self.producers:
            self._check_account(producer, held)
        surely = sum((each.written for each in self.producers), self.foreign)
        possibly = sum((each.put for each in self.producers), self.foreign)
        assert surely <= held, "too few"
        assert held <= possibly, "too many"
        for name in NAMES:
            self._check_hours(name, {entry.hour for entry in held if entry.name == name})
            counted = [entry for entry in held.elements() if entry.name == name]
            self._check_minutes(name, [each for each in counted if not is_books(each)])

    @staticmethod
    def _check_account(producer: Producer, held: Entries) -> None:
        stats = producer.log.stats
        assert stats.calls == producer.put.total()
        assert stats.calls == stats.counted + stats.other + stats.dropped + stats.pending
        assert stats.other == stats.dropped - stats.dropped_unwritten == 0
        beyond = sum(held[entry] for entry in held if producer.owns(entry)) - stats.counted
        if stats.pending:
            assert 0 <= beyond <= stats.pending
            return

        assert beyond in (0, stats.in_doubt), "not what `stats` says, the batch in doubt as a whole"
        if not stats.dropped:
            producer.written |= producer.put
            assert stats.failures == producer.network.broken, "a fault is one failure"

    def _check_hours(self, name: str, held: set[Hour]) -> None:
        """`:start` and `:pstart` are the newest two hours, so neither ever goes back."""
        start, previous = self._hours(name)
        assert [start, previous] == [*sorted(held, reverse=True)[:2], None, None][:2]
        if start is not None:
            assert self.stood.get(name, start) <= start
            self.stood[name] = start

    def _check_minutes(self, name: str, counted: list[Entry]) -> None:
        """Each call is in the minutes of its hour; the book's program counts none."""

        async def read() -> dict[str, dict[int, int]]:
            return await read_minutes(self.eyes, name)

        hours: Counter[Hour] = Counter()
        for minutes in self.onlooker.run(read()).values():
            for minute, calls in minutes.items():
                hours[minute // 60] += calls
        assert hours == Counter(entry.hour for entry in counted)

    def _hours(self, name: str) -> tuple[Hour | None, Hour | None]:
        base = f"common:{name}:info"
        start, previous = self.book.mget(f"{base}:start", f"{base}:pstart")
        return parse_hour(start), parse_hour(previous)

    def _in_redis(self) -> Entries:
        async def read() -> Entries:
            return Counter(
                {
                    Entry(name, hour, message): amount
                    for name in NAMES
                    for hour, counter in (await read_counts(self.eyes, name)).items()
                    for message, amount in counter.items()
                }
            )

        return self.onlooker.run(read())

    def teardown(self) -> None:
        for producer in self.running:
            with contextlib.suppress(ClientClosedError):  # its end is what has failed
                self._run(producer.log.__aexit__(None, None, None))
        self._run(self.ours.aclose())
        self.onlooker.run(self.eyes.aclose())
        self.book.close()
        self.runner.close()
        self.onlooker.close()


@pytest.mark.parametrize("touched", ["watched", "another"])
async def test_the_imitation_keeps_the_lock_of_a_client_that_has_gone(touched: str) -> None:
    """A late EXEC is aborted by a foreign write to what was watched, and by nothing else."""
    server = FakeServer()
    network, foreign = Network(server), FakeRedis(server=server)
    network.faults.append("deliver late")
    connection = dedicated_connection(network.client())
    await connection.connect()
    await exchange(connection, [(b"WATCH", b"watched"), (b"GET", b"watched")])
    with pytest.raises(LostConnectionError):
        await exchange(connection, [MULTI, (b"SET", b"key", b"late"), EXEC])
    await connection.disconnect()
    foreign.set(touched, "foreign")
    network.deliver_late()

    assert foreign.get("key") == (None if touched == "watched" else b"late")


@pytest.mark.parametrize("touched", ["watched", "another"])
async def test_the_imitation_locks_behind_an_exec(touched: str) -> None:
    """A WATCH taken behind an EXEC is broken by what is written after it, not by that EXEC."""
    server = FakeServer()
    connection = dedicated_connection(Network(server).client())
    await connection.connect()
    transaction = [MULTI, (b"SET", b"watched", b"ours"), EXEC, (b"WATCH", b"watched")]
    await exchange(connection, transaction)
    FakeRedis(server=server).set(touched, "foreign")
    results = (await exchange(connection, transaction))[2]
    assert results == (None if touched == "watched" else [b"OK"])


def test_the_first_hour_of_a_destination_is_under_the_lock_too() -> None:
    """A producer that finds no hour yet, and is overtaken, does not put the hour back."""
    history = Histories()
    history.other_program_under_the_lock(slot=0, names={"api"}, letter="a", skew=1)
    history.put_and_wait(slot=0, skew=0, name="api", letter="a", faults=[])
    history.counts_are_exact()
    history.teardown()


def test_every_history_is_exact(caplog: pytest.LogCaptureFixture) -> None:
    """Counts, hours and `stats` are exact whatever happens to two producers, in any order."""
    caplog.set_level(logging.CRITICAL, "logcommon")  # a failure's report is long enough without
    run_state_machine_as_test(
        Histories,
        settings=settings(max_examples=80, stateful_step_count=40, deadline=None),
    )
