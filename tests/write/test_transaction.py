"""A batch becomes a transaction, and its replies an outcome."""

from redis.exceptions import ResponseError

from logcommon.model import OTHER, Destination
from logcommon.schema.commands import Command
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import HourState
from logcommon.write.batch import Batch
from logcommon.write.placement import place
from logcommon.write.transaction import build_transaction
from logcommon.write.watch import Marker, Watched
from support.clock import NOON

API, WEB = Destination("api", "info"), Destination("web", "error")
KEYS = destination_keys(API)
MARK: Command = Marker(3, 1).command(b"marker")


def watched(state: HourState, members: int = 0) -> Watched:
    return Watched(
        Marker(2, 1),
        {API: state, WEB: state},
        {API: members, WEB: members},
        server_time=NOON * 3600.0,
    )


def commands(batch: Batch, ground: Watched, max_members: int = 100) -> list[Command]:
    placements = place(batch, ground, 24, max_members)
    return build_transaction(
        batch, [(each, each.messages) for each in placements], {}, MARK
    ).commands


def test_an_hour_that_turns_within_a_batch() -> None:
    """The older hour is counted before the set is renamed, the newer one after."""
    batch = Batch({(API, NOON + 1): {"new": 1}, (API, NOON): {"old": 2}})
    made = commands(batch, watched(HourState(NOON, None)))
    assert made[0] == (b"ZINCRBY", KEYS.current, 2, b"old")
    assert (b"RENAME", KEYS.current, KEYS.last) in made[1:-3]
    assert made[-3] == (b"ZINCRBY", KEYS.current, 1, b"new")
    assert made[-2][0] == b"SADD"
    assert made[-1] == MARK


def test_the_recent_log_gets_the_newest_on_top() -> None:
    """Entries are pushed oldest first, and the list is trimmed to the book's hundred."""
    batch = Batch(recent={API: [("one", NOON * 3600), ("two", NOON * 3600 + 1)]})
    push, trim, *_ = commands(batch, watched(HourState(NOON, None)))
    assert push == (
        b"LPUSH",
        KEYS.recent,
        b"Wed May 27 12:00:00 2026 one",
        b"Wed May 27 12:00:01 2026 two",
    )
    assert trim == (b"LTRIM", KEYS.recent, 0, 99)


def test_the_outcome_accounts_for_every_call() -> None:
    """Counted, other, refused and too late add up to what the batch stands for."""
    batch = Batch(
        {
            (API, NOON): {"a": 3, OTHER: 2},
            (WEB, NOON): {"b": 5},
            (API, NOON - 100): {"old": 7},
        }
    )
    ground = watched(HourState(NOON, NOON - 1))
    placements = place(batch, ground, 24, 100)
    made = build_transaction(batch, [(each, each.messages) for each in placements], {}, MARK)
    wrong = ResponseError("WRONGTYPE Operation against a key")
    results = [wrong if b"common:web:error" in command else 1.0 for command in made.commands]
    outcome = made.outcome(results)
    assert (outcome.counted, outcome.other, outcome.refused, outcome.too_late) == (3, 2, 5, 7)
    assert outcome.errors.keys() == {(WEB, NOON), (API, NOON - 100)}
    assert outcome.failure is not None
    assert batch.calls == 17


def test_a_rename_of_nothing_is_no_failure() -> None:
    """The set that a rotation finds missing is no reason to report anything."""
    batch = Batch({(API, NOON): {"a": 1}})
    ground = watched(HourState(NOON - 1, None))
    placements = place(batch, ground, 24, 9)
    made = build_transaction(batch, [(each, each.messages) for each in placements], {}, MARK)
    results = [ResponseError("no such key") if c[0] == b"RENAME" else 1 for c in made.commands]
    outcome = made.outcome(results)
    assert (outcome.counted, outcome.failure, outcome.errors) == (1, None, {})
