"""A batch becomes a transaction, and its replies an outcome."""

from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from logcommon.model import OTHER, Destination
from logcommon.schema.commands import Command
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import HourState
from logcommon.write.batch import Batch
from logcommon.write.placement import admit, admit_inspected, inspect_commands, place
from logcommon.write.transaction import build_transaction
from logcommon.write.watch import Marker, Watched, read_watched, watch_commands
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


def test_arming_watches_and_reads_the_marker_and_the_hours() -> None:
    """What the decision rests on is watched before it is read."""
    watch, time, *reads, size = watch_commands(b"marker", [API])
    assert watch == (b"WATCH", b"marker", KEYS.start, KEYS.previous_start)
    assert time == (b"TIME",)
    assert reads == [(b"GET", key) for key in watch[1:]]
    assert size == (b"ZCARD", KEYS.current)


def test_what_was_read_is_understood() -> None:
    """The replies to arming say where each destination stands."""
    values = [b"7.2", b"2026-05-27T12:00:00", None, None, None]
    time = [b"1795557600", b"250000"]
    ground = read_watched([API, WEB], [b"OK", time, *values, 5, ResponseError("WRONGTYPE …")])
    key = destination_keys(WEB).current
    assert ground == Watched(
        Marker(7, 2),
        {API: HourState(NOON, None)},
        {API: 5},
        {WEB: f"WRONGTYPE … on {key!r}"},
        server_time=1795557600.25,
    )


def test_no_marker_is_number_nought() -> None:
    """A producer that never committed is before its first batch."""
    assert Marker.read(None) == Marker(0, 0)


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


def test_only_a_set_that_may_overflow_is_looked_into() -> None:
    """A look costs a round trip, so there is none while the set has room, or is new."""
    batch = Batch({(API, NOON): {"a": 1, "b": 1}})
    roomy, full, new = (
        place(batch, ground, 24, max_members=10)[0]
        for ground in (
            watched(HourState(NOON, None), members=8),
            watched(HourState(NOON, None), members=9),
            watched(HourState(NOON - 1, None), members=10),
        )
    )
    assert (roomy.capacity, full.capacity, new.capacity) == (2, None, 10)
    assert inspect_commands(full) == [
        (b"ZCARD", KEYS.current),
        (b"ZMSCORE", KEYS.current, b"a", b"b"),
    ]


@given(
    st.dictionaries(st.sampled_from([*"abcdefgh", OTHER]), st.integers(1, 5)),
    st.sets(st.sampled_from("abcdefgh")),
    st.integers(-2, 8),
)
def test_admission_keeps_totals_and_the_bound(
    messages: dict[str, int], present: set[str], room: int
) -> None:
    """Those present stay, at most `room` others join them, and nothing is lost to `<other>`."""
    admitted = admit(messages, present, room)
    assert sum(admitted.values()) == sum(messages.values())
    joined = admitted.keys() - present - {OTHER}
    left = messages.keys() - admitted.keys()
    assert present & messages.keys() <= admitted.keys()
    assert len(joined) <= max(room, 0)
    assert not left or len(joined) == max(room, 0)
    assert all(messages[one] <= messages[other] for one in left for other in joined)
    assert all(admitted.values()), "a message that was not logged"


def test_a_look_tells_what_is_present() -> None:
    """In a full set the messages that it has are counted, the others as `<other>`."""
    admitted = admit_inspected({"a": 1, "b": 2}, 10, [3.0, None], max_members=10)
    assert admitted == {"a": 1, OTHER: 2}


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


def test_a_marker_is_read_as_it_was_written() -> None:
    """Number, attempt, session and edition come back."""
    marker = Marker(7, 2, "0a1b", 5)
    assert Marker.read(marker.command(b"key")[2]) == marker


def test_a_marker_of_an_earlier_version() -> None:
    """Its number counts, and its attempt is of no session that is known."""
    assert Marker.read(b"7.2") == Marker(7, 2, "", 0)
    assert Marker.read(b"7") is None
