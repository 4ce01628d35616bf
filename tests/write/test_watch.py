"""What is watched before a transaction, and how the replies are read."""

from redis.exceptions import ResponseError

from logcommon.model import Destination
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import HourState
from logcommon.write.watch import Marker, Watched, read_watched, watch_commands
from support.clock import NOON

API, WEB = Destination("api", "info"), Destination("web", "error")
KEYS = destination_keys(API)


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


def test_a_marker_is_read_as_it_was_written() -> None:
    """Number, attempt, session and edition come back."""
    marker = Marker(7, 2, "0a1b", 5)
    assert Marker.read(marker.command(b"key")[2]) == marker


def test_a_marker_of_an_earlier_version() -> None:
    """Its number counts, and its attempt is of no session that is known."""
    assert Marker.read(b"7.2") == Marker(7, 2, "", 0)
    assert Marker.read(b"7") is None
