"""Lines become records: the format is recognized, and lines that belong together are one record."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from logcommon.cli.formats.chosen import format_named
from logcommon.cli.formats.record import Record
from logcommon.cli.records import _MOST_HELD, _SAMPLE, RecordReader

TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/srv/shop/db.py", line 41, in load',
    "    run()",
    "ValueError: 7",
]
ORIGIN = "ValueError at shop/db.py:41"


def read(name: str, lines: Iterable[str]) -> list[Record]:
    """Return the records of a whole file."""
    reader = RecordReader(format_named(name))
    return [*reader.feed(list(lines)), *reader.end()]


def counted(records: Iterable[Record]) -> list[str]:
    return [record.template or record.message for record in records]


def test_an_exception_belongs_to_the_line_before() -> None:
    """It counts by type and place, with the time, severity and name of the record."""
    lines = ["2026-11-24 10:30:15Z ERROR shop.db: it broke", *TRACEBACK, "INFO:root:on it goes"]
    broke, goes_on = read("python", lines)
    assert broke.template == ORIGIN
    assert (broke.message, broke.severity, broke.name) == ("it broke", "error", "shop.db")
    assert (goes_on.message, goes_on.time) == ("on it goes", broke.time)


def test_other_lines_belong_to_the_line_before() -> None:
    """Without a traceback the first line is the message, and blank lines change nothing."""
    assert counted(read("python", ["INFO:a:one", "more", "", "INFO:a:two"])) == ["one", "two"]


def test_an_exception_with_a_record_for_each_line() -> None:
    """As in syslog, the records of one program from the header to the error are one exception."""
    before = "2026-11-24T10:30:15Z web "
    lines = [f"{before}app[7]: {line}" for line in TRACEBACK]
    lines += [f"{before}app[7]: next", f"{before}app[7]: {TRACEBACK[0]}", f"{before}cron: tick"]
    assert counted(read("syslog", lines)) == [ORIGIN, "next", TRACEBACK[0], "tick"]


def test_lines_of_no_record_are_messages_where_records_have_one_line() -> None:
    """A damaged line is counted as it is, at the time of the record before it."""
    lines = ['{"time": 1795516215, "msg": "x"}', '{"msg": "y', "", '{"msg": "z"}']
    records = read("json", lines)
    assert counted(records) == ["x", '{"msg": "y', "z"]
    assert {record.time for record in records} == {1795516215}


def test_lines_before_the_first_record_have_its_time() -> None:
    """The end of a record that began in an older file does not count in the hour that it is now."""
    records = read("python", [*TRACEBACK, "2026-11-24 10:30:15Z INFO on it goes"])
    assert counted(records) == [*TRACEBACK, "on it goes"]
    assert len({record.time for record in records}) == 1
    assert records[0].time is not None


def test_a_file_without_a_record_is_all_messages() -> None:
    """With a format that does not fit, lines are counted as they are, and few are held."""
    lines = [f"line {number}" for number in range(3 * _MOST_HELD + 1)]
    reader = RecordReader(format_named("python"))
    assert counted(reader.feed(lines)) == lines[:-1]
    assert counted(reader.end()) == lines[-1:]


def test_a_record_without_end_is_bounded() -> None:
    """Of very many lines only the last are held, in which the error is named."""
    lines = ["INFO:a:begun", *(["more"] * 5 * _MOST_HELD), *TRACEBACK]
    assert counted(read("python", lines)) == [ORIGIN]


def test_records_of_one_line_are_not_held() -> None:
    """They are there at once, as from a pipe that the next line comes from much later."""
    reader = RecordReader(format_named("json"))
    assert counted(reader.feed(['{"msg": "x"}'])) == ["x"]


def test_recognizing_takes_some_lines() -> None:
    """Until a format fits, lines are messages; after the sample it is settled."""
    reader = RecordReader(None)
    assert counted(reader.feed(["hello"])) == ["hello"]
    formats = [reader.format]
    assert counted(reader.feed(['{"msg": "x"}', '{"msg": "y"}'])) == ["x", "y"]
    assert [*formats, reader.format] == [None, format_named("json")]

    settled = RecordReader(None)
    assert len([*settled.feed(["hello"] * _SAMPLE)]) == _SAMPLE
    assert settled.format == format_named("lines")
    assert counted(settled.feed(['{"msg": "x"}'] * 2)) == ['{"msg": "x"}'] * 2


LINES = st.lists(
    st.sampled_from(
        [*TRACEBACK, "", " more", "INFO:a:one", "ERROR:b:two", "2026-11-24 10:30:15Z WARN x", "?"]
    )
)


@given(LINES, LINES)
def test_where_a_chunk_ends_changes_nothing(first: list[str], second: list[str]) -> None:
    """Lines that come in two chunks become the records that they become in one."""
    reader = RecordReader(format_named("python"))
    found = [*reader.feed(first), *reader.feed(second), *reader.end()]
    assert found == read("python", [*first, *second])
