"""Where the messages of a batch are counted, and which of them a set may take."""

from hypothesis import given
from hypothesis import strategies as st

from logcommon.model import OTHER, Destination
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import HourState
from logcommon.write.batch import Batch
from logcommon.write.placement import (
    admit,
    admit_inspected,
    inspect_commands,
    is_ahead,
    move_to_server_hour,
    place,
)
from logcommon.write.watch import Marker, Watched
from support.clock import NOON

API = Destination("api", "info")
KEYS = destination_keys(API)


def watched(state: HourState, members: int = 0) -> Watched:
    return Watched(Marker(2, 1), {API: state}, {API: members}, server_time=NOON * 3600.0)


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


def test_a_destination_of_the_wrong_type_has_no_place() -> None:
    """Its messages are not counted anywhere, and those of other destinations are."""
    web = Destination("web", "error")
    batch = Batch({(web, NOON): {"a": 1}, (API, NOON): {"a": 1}})
    ground = Watched(
        Marker(), {API: HourState(NOON, None)}, {API: 0}, {web: "WRONGTYPE"}, server_time=0.0
    )
    assert [each.group for each in place(batch, ground, 24, 10)] == [(API, NOON)]


def test_an_hour_ahead_is_added_to_the_server_hour() -> None:
    """Counts of a fast clock join those of the server's hour, and are known as moved."""
    late, noon = (API, NOON + 5), (API, NOON)
    batch = Batch({late: {"a": 2, "b": 1}, noon: {"a": 3}}, {API: [("a", (NOON + 5) * 3600.0)]}, 7)
    server_time = NOON * 3600.0 + 10
    moved_batch, moved = move_to_server_hour(batch, server_time, most=3600)
    assert is_ahead(batch, server_time, most=3600)
    assert not is_ahead(moved_batch, server_time, most=3600)
    assert moved_batch == Batch({noon: {"a": 5, "b": 1}}, {API: [("a", server_time)]}, 7)
    assert moved.groups == {late: noon}
    assert moved.amounts_in(noon, {"a", OTHER}) == {"a": 2, OTHER: 1}
