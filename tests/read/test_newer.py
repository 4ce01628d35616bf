"""What is new on a recent log since it was read before."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from logcommon.model import Destination, RecentRow
from logcommon.read.newer import Follower, Snapshot

API = Destination("api", "info")
WEB = Destination("web", "info")
LENGTH = 6
"""How many entries the recent logs of these tests keep."""


def row(message: str, second: int = 0, destination: Destination = API) -> RecentRow:
    return RecentRow(datetime.fromtimestamp(second, UTC), message, destination)


def snapshot(logged: list[RecentRow], uncounted: int = 0) -> Snapshot:
    """Return what is in Redis after all this was logged."""
    return Snapshot(logged[: -LENGTH - 1 : -1], {7: len(logged) - uncounted})


ENTRIES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0, 0, 0, 1])), max_size=15)


@given(st.lists(ENTRIES, min_size=1, max_size=5))
def test_each_entry_comes_once_and_the_others_are_counted(
    looks: list[list[tuple[str, int]]],
) -> None:
    """However many come between two looks, and however equal they are."""
    logged: list[RecentRow] = []
    follower = Follower({API: snapshot(logged)})
    second = 0
    for look in looks:
        for message, later in look:
            second += later
            logged.append(row(message, second))
        found = follower.look({API: snapshot(logged)})
        shown = look[-LENGTH:]
        assert list(found.rows) == logged[len(logged) - len(shown) :]
        assert found.missed.get(API, 0) == len(look) - len(shown)


def test_entries_that_are_not_counted() -> None:
    """They come as well, as far as they differ from those before."""
    logged = [row("a"), row("b")]
    follower = Follower({API: snapshot(logged)})
    logged += [row("c"), row("d")]
    assert [each.message for each in follower.look({API: snapshot(logged, 2)}).rows] == ["c", "d"]


def test_fewer_entries_than_calls() -> None:
    """With many destinations a client keeps fewer; what is known already does not come again."""
    logged = [row(str(second), second) for second in range(LENGTH)]
    follower = Follower({API: snapshot(logged)})
    entries = [row("new", LENGTH), *reversed(logged[1:])]
    found = follower.look({API: Snapshot(entries, {7: LENGTH, 8: 100})})
    assert (found.rows, found.missed) == ((row("new", LENGTH),), {API: 99})


def test_several_destinations() -> None:
    """The oldest entry comes first, and a destination may be missing, or begin later."""
    follower = Follower({API: snapshot([row("a", 1)])})
    assert follower.newest(5).rows == (row("a", 1),)
    assert follower.look({}).rows == ()
    found = follower.look(
        {
            API: snapshot([row("a", 1), row("c", 3)]),
            WEB: snapshot([row("b", 2, WEB), row("d", 4, WEB)]),
        }
    )
    assert [each.message for each in found.rows] == ["b", "c", "d"]


def test_a_deleted_recent_log() -> None:
    """What is logged after that comes."""
    follower = Follower({API: snapshot([row("a"), row("b")])})
    assert follower.look({API: Snapshot([row("c")], {8: 1})}).rows == (row("c"),)
