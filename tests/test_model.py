"""The values that all parts of the package use."""

import logging
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import (
    FIRST_HOUR,
    LATEST,
    Destination,
    checked_time,
    cut_message,
    encode_message,
    hour_of,
    hour_start,
    hour_text,
    parse_hour,
    parse_recent,
    plain_text,
    recent_text,
    require_text,
    severity_name,
)

any_text = st.text(st.characters(exclude_categories=[]))
seconds = st.integers(0, 4_000_000_000)


@pytest.mark.parametrize(
    ("given_severity", "name"),
    [
        (logging.DEBUG, "debug"),
        (logging.INFO, "info"),
        (logging.WARNING, "warning"),
        (logging.ERROR, "error"),
        (logging.CRITICAL, "critical"),
        ("ERROR", "error"),
        ("Audit", "audit"),
        (15, "15"),
    ],
)
def test_a_severity_is_a_level_or_any_text(given_severity: int | str, name: str) -> None:
    """Levels get the book's names; anything else is kept, in lower case."""
    assert severity_name(given_severity) == name


@pytest.mark.parametrize("name", ["", "x" * 257, None, b"api", 3])
def test_a_name_that_cannot_be_used_is_refused(name: object) -> None:
    """A wrong name gets a clear error instead of a strange key."""
    with pytest.raises(InvalidArgumentError, match="name must"):
        Destination.of(name, "info")  # type: ignore[arg-type]


@pytest.mark.parametrize("severity", ["", "x" * 257, None, 2.5])
def test_a_severity_that_cannot_be_used_is_refused(severity: object) -> None:
    """A wrong severity gets a clear error instead of a strange key."""
    with pytest.raises(InvalidArgumentError, match="severity must"):
        Destination.of("api", severity)  # type: ignore[arg-type]


def test_a_message_that_is_no_text_is_refused() -> None:
    """Bytes and numbers are refused, and the error does not repeat them."""
    with pytest.raises(InvalidArgumentError, match="not bytes: decode") as caught:
        require_text(b"secret")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@given(any_text, st.integers(16, 64))
def test_a_message_is_cut_between_characters(message: str, longest: int) -> None:
    """A stored message is within the limit; one that was cut is a prefix with a mark."""
    cut = cut_message(message, longest)
    assert len(encode_message(cut)) <= longest
    if cut != message:
        assert len(encode_message(message)) > longest
        assert cut.endswith("…")
        assert encode_message(message).startswith(encode_message(cut[:-1]))


@given(seconds)
def test_hours_are_written_as_the_book_writes_them(moment: int) -> None:
    """The text of an hour is the start of the UTC hour that a moment lies in, and reads back."""
    hour = hour_of(moment)
    start = datetime.fromtimestamp(moment, UTC).replace(minute=0, second=0)
    assert hour_start(hour) == start
    assert hour_text(hour) == start.strftime("%Y-%m-%dT%H:00:00")
    assert parse_hour(hour_text(hour).encode()) == hour


@pytest.mark.parametrize("text", [None, "", b"yesterday", b"\xff"])
def test_what_is_no_hour_reads_as_none(text: str | bytes | None) -> None:
    """A value at `:start` that is not an hour is treated as missing."""
    assert parse_hour(text) is None


def test_the_first_and_the_last_hour() -> None:
    """Hours range from the year 1 to the year 9999; any other is an InvalidArgumentError."""
    assert hour_text(FIRST_HOUR) == "0001-01-01T00:00:00"
    assert parse_hour(b"0001-01-01T00:00:00") == FIRST_HOUR
    last = parse_hour(b"9999-12-31T23:00:00")
    assert last is not None
    assert hour_text(last) == "9999-12-31T23:00:00"
    for beyond in (FIRST_HOUR - 1, last + 1, 10**30):
        with pytest.raises(InvalidArgumentError, match="years 1 to 9999"):
            hour_text(beyond)


@given(seconds, any_text)
def test_recent_entries_read_back(moment: int, message: str) -> None:
    """The time and the message of a recent entry can be read back from the book's format."""
    row = parse_recent(recent_text(message, moment))
    assert row.message == message
    assert row.time == datetime.fromtimestamp(moment, UTC)


def test_a_recent_entry_looks_like_the_books() -> None:
    """Our entries have the format of the book's `log_recent`, in UTC."""
    assert recent_text("hello", 1_795_468_258) == "Mon Nov 23 21:10:58 2026 hello"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "Mon Nov 23 21:10:58 2026",
        "no time at all, but long",
        "Mon Feb 31 21:10:58 2026 no such day",
        "Mon Nov 31 21:10:58 2026 no such day",
        "Mon Nov 23 24:10:58 2026 no such hour",
        "Mon Nov 23 21:10:60 2026 no such second",
        "Mon Nov 00 21:10:58 2026 no such day",
        "1 Jan 999999999999 1:1:1 no such year",
    ],
)
def test_a_foreign_recent_entry_is_all_message(text: str) -> None:
    """An entry that does not begin with a time is a message as a whole."""
    row = parse_recent(text)
    assert (row.time, row.message) == (None, text)


@given(
    st.from_regex(r"Mon (Feb|Nov) [ 0-9-]{2} [0-9:]{8} [0-9]{4} .*", fullmatch=True),
    st.text("MonFebJan 0123456789:,+-", max_size=30),
)
def test_whatever_stands_in_a_recent_log_is_read(likely: str, text: str) -> None:
    """Entries of other programs can all be read, with their messages."""
    for entry in (likely, text):
        row = parse_recent(entry)
        assert entry.endswith(row.message)
        assert (row.message == entry) == (row.time is None)


class _Odd(str):
    """Text whose class overrides how it is hashed, compared, shown and encoded."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False

    def __str__(self) -> str:
        return "other"

    def encode(self, *_: object) -> bytes:
        raise ZeroDivisionError


def test_a_message_of_a_subclass_becomes_plain_text() -> None:
    """A message of a subclass of `str` becomes the plain text that it is."""
    assert plain_text(_Odd("m")) == "m"
    assert type(plain_text(_Odd("m"))) is str
    with pytest.raises(InvalidArgumentError, match="not bytes: decode or format it first"):
        plain_text(b"m")  # type: ignore[arg-type]


@pytest.mark.parametrize("time", [0, 12, 1.5, LATEST - 1])
def test_a_time_is_a_plain_number(time: float) -> None:
    """Whatever kind of number a clock returns, it is a float from here on."""
    assert checked_time(time) == time
    assert type(checked_time(time)) is float


@pytest.mark.parametrize("time", [-1, LATEST, math.inf, math.nan, None, "noon", {}])
def test_what_is_no_time_is_refused(time: object) -> None:
    """A clock that returns something else gets an error that says what it must return."""
    with pytest.raises(InvalidArgumentError, match="clock must return seconds since the epoch"):
        checked_time(time)  # type: ignore[arg-type]
