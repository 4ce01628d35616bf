"""Storms of equal messages are kept out of a log, and summed up."""

import gc
import itertools
import logging
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from logcommon import InvalidArgumentError
from logcommon.integrations._repeats import Repeats
from logcommon.integrations.logging import RepeatFilter, _sum_up
from logcommon.integrations.structlog import RepeatProcessor
from support.clock import HandClock

NAMES = itertools.count()


class ListHandler(logging.Handler):
    """Keeps the texts of what it gets."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of its own, without handlers."""
    logger = logging.getLogger(f"repeats-{next(NAMES)}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()
    logger.filters.clear()


def added(
    logger: logging.Logger, clock: HandClock, **options: Any
) -> tuple[ListHandler, RepeatFilter]:
    """Add a handler with a filter that lets two equal records a minute pass."""
    handler = ListHandler()
    repeats = RepeatFilter(handler, first=2, monotonic=clock, **options)
    handler.addFilter(repeats)
    logger.addHandler(handler)
    return handler, repeats


def test_the_first_pass_and_the_others_are_summed_up(
    logger: logging.Logger, clock: HandClock
) -> None:
    """The summary comes with the first record after the interval, whatever that is."""
    handler, _ = added(logger, clock)
    for number in range(12_433):
        logger.warning(f"node {number} is down")  # noqa: G004  # as many do
    assert handler.texts == ["node 0 is down", "node 1 is down"]
    clock.now += 59
    logger.warning("node 7 is down")
    clock.now += 1
    logger.info("all is well")
    assert handler.texts[2:] == [
        "node <num> is down … repeated 12,432 times in 60 s",
        "all is well",
    ]
    logger.warning("node 8 is down")
    assert handler.texts[-1] == "node 8 is down"


def test_equal_records_are_of_one_logger_and_level(
    logger: logging.Logger, clock: HandClock
) -> None:
    """Arguments make no difference; another message, level or logger does."""
    handler, repeats = added(logger, clock)
    for number in range(3):
        logger.info("user %s left", number)
        logger.error("user %s left", number)
        logger.getChild("x").info("user %s left", number)
        logger.info("hello")
    assert Counter(handler.texts) == {
        "user 0 left": 3,
        "user 1 left": 3,
        "hello": 2,
    }
    repeats.sum_up()
    assert handler.texts[-4:] == [
        *["user %s left … repeated 1 time in 60 s"] * 3,
        "hello … repeated 1 time in 60 s",
    ]
    repeats.sum_up()
    assert len(handler.texts) == 12


def test_exceptions_are_equal_by_type_and_place(logger: logging.Logger, clock: HandClock) -> None:
    """As they are counted, whatever their text."""
    handler, repeats = added(logger, clock)
    for number in range(4):
        try:
            raise ValueError(number)
        except ValueError:
            logger.exception("attempt %s", number)
    assert len(handler.texts) == 2
    repeats.sum_up()
    assert handler.texts[-1].startswith("ValueError at ")
    assert "integrations/test_repeats.py:" in handler.texts[-1]
    assert handler.texts[-1].endswith(" … repeated 2 times in 60 s")


def test_a_handler_gets_only_its_own_summaries(logger: logging.Logger, clock: HandClock) -> None:
    """Another handler of the same logger gets every record, and none twice."""
    everything = ListHandler()
    logger.addHandler(everything)
    handler, repeats = added(logger, clock)
    for _ in range(5):
        logger.warning("again")
    repeats.sum_up()
    assert handler.texts == ["again", "again", "again … repeated 3 times in 60 s"]
    assert everything.texts == ["again"] * 5


def test_a_filter_without_a_handler(logger: logging.Logger, clock: HandClock) -> None:
    """As from dictConfig, or on a logger: the summary goes to the logger, and passes the filter."""
    handler = ListHandler()
    logger.addHandler(handler)
    repeats = RepeatFilter(first=1, interval=0.5, monotonic=clock)
    logger.addFilter(repeats)
    for _ in range(4):
        logger.warning("again")
    clock.now += 1
    logger.warning("again")
    assert handler.texts == ["again", "again … repeated 3 times in 0.5 s", "again"]


def test_a_summary_keeps_to_the_level_of_its_handler(
    logger: logging.Logger, clock: HandClock
) -> None:
    """What the handler would not have shown is not summed up either."""
    handler, repeats = added(logger, clock)
    for _ in range(4):
        logger.info("again")
    handler.setLevel(logging.ERROR)
    repeats.sum_up()
    assert handler.texts == ["again", "again"]


def test_what_cannot_be_judged_passes(logger: logging.Logger, clock: HandClock) -> None:
    """A hook that raises hides nothing, and neither does a handler that raises at a summary."""

    def broken(message: str) -> str:
        raise ValueError(message)

    handler, _ = added(logger, clock, template=broken)
    for _ in range(4):
        logger.warning("again")
    assert handler.texts == ["again"] * 4

    other, repeats = added(logger, clock)
    for _ in range(4):
        logger.warning("once more")
    other.emit = broken  # type: ignore[assignment]
    other.handleError = broken  # type: ignore[assignment]
    repeats.sum_up()
    logger.handlers.remove(other)


def test_few_kinds_are_remembered(logger: logging.Logger, clock: HandClock) -> None:
    """If there are more, the summary of the one that began first comes early."""
    handler, repeats = added(logger, clock, most=2)
    for message in ("a", "a", "a", "b", "c", "a"):
        logger.info(message)
    assert handler.texts == ["a", "a", "b", "a … repeated 1 time in 60 s", "c", "a"]
    assert len(repeats._repeats._intervals) == 2


def test_the_last_summary_comes_at_the_end_of_the_process() -> None:
    """Even if nothing more is logged."""
    code = (
        "import logging\n"
        "from logcommon.integrations.logging import RepeatFilter\n"
        "handler = logging.StreamHandler()\n"
        "handler.addFilter(RepeatFilter(handler, first=1))\n"
        "logging.getLogger().addHandler(handler)\n"
        "for number in range(5): logging.error(f'node {number} is down')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stderr.splitlines() == [
        "node 0 is down",
        "node <num> is down … repeated 4 times in 60 s",
    ]


def test_a_filter_that_is_gone_sums_up_nothing() -> None:
    """The end of the process does not keep filters alive."""
    repeats = RepeatFilter()
    reference = weakref.ref(repeats)
    del repeats
    gc.collect()
    assert reference() is None
    _sum_up(reference)


@pytest.mark.parametrize("options", [{"first": 0}, {"interval": 0}, {"most": 0}])
@pytest.mark.parametrize("kind", [RepeatFilter, RepeatProcessor])
def test_numbers_that_cannot_be_used(kind: Any, options: dict[str, int]) -> None:
    """They are refused at once."""
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        kind(**options)


def test_an_interval_ends_with_the_next_record_of_its_kind() -> None:
    """Even if many others are over as well, of which only a few are looked at."""
    clock = HandClock()
    repeats: Repeats[str] = Repeats(1, 30, 10, clock)
    for kind in "aabbccdd":
        repeats.see(kind, kind)
    clock.now += 30
    passes, ended = repeats.see("d", "d")
    assert (passes, [each.record for each in ended]) == (True, ["a", "b", "d"])


def test_threads_lose_no_record() -> None:
    """What passes and what is summed up is together what was seen, with many threads."""
    repeats: Repeats[int] = Repeats(3, 1e9, 4, lambda: 0.0)
    found: list[int] = []

    def see() -> None:
        for number in range(2_000):
            passes, ended = repeats.see(number % 7, number)
            found.append(passes + sum(each.times for each in ended))

    threads = [threading.Thread(target=see) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) + sum(each.times for each in repeats.end_all()) == 16_000


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 20)), max_size=60),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_nothing_is_lost_or_doubled(
    records: list[tuple[int, float]], first: int, most: int
) -> None:
    """At any times, and with any bound, each record passes or is in one summary."""
    clock = HandClock()
    repeats: Repeats[int] = Repeats(first, 30, most, clock)
    seen: Counter[int] = Counter()
    for kind, later in records:
        clock.now += later
        passes, ended = repeats.see(kind, kind)
        seen[kind] += passes
        seen.update({each.record: each.times for each in ended})
        assert len(repeats._intervals) <= most
    for each in repeats.end_all():
        seen[each.record] += each.times
    assert seen == Counter(kind for kind, _ in records)


def test_structlog_events(clock: HandClock) -> None:
    """Repeated events are dropped, and the next one says how many were."""
    repeats = RepeatProcessor(first=2, monotonic=clock)

    def event(text: str, method: str = "info", **values: object) -> dict[str, object] | None:
        try:
            return dict(repeats(None, method, {"event": text, **values}))
        except structlog.DropEvent:
            return None

    assert event("user 1 left", user=1) == {"event": "user 1 left", "user": 1}
    assert [event(f"user {number} left") is None for number in range(4)] == [False, *[True] * 3]
    assert event("user 1 left", "error") is not None
    clock.now += 60
    assert event("hello") == {"event": "hello"}
    assert event("user 9 left") == {"event": "user 9 left", "repeated": 3}
    assert event("user 9 left") == {"event": "user 9 left"}


def test_structlog_remembers_few(clock: HandClock) -> None:
    """Of more kinds than are remembered, the one that began first is forgotten."""
    repeats = RepeatProcessor(first=1, most=1, monotonic=clock)
    for text in ("a", "a", "b", "b", "c", "a"):
        try:
            repeats(None, "info", {"event": text})
        except structlog.DropEvent:
            assert text in "ab"
    assert len(repeats._dropped) <= 1


def test_structlog_events_that_cannot_be_judged_pass() -> None:
    """A hook that raises drops nothing."""

    def broken(message: str) -> str:
        raise ValueError(message)

    repeats = RepeatProcessor(first=1, template=broken)
    for _ in range(3):
        assert repeats(None, "info", {"event": "m"}) == {"event": "m"}
