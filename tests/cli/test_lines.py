"""Bytes in chunks become lines."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from logcommon.cli.lines import LONGEST_LINE, LineSplitter

# Few enough letters that line ends, and halves of characters, are everywhere.
content = st.lists(st.sampled_from([b"\n", b"\r", b"a", b"\xc3", b"\xa9", b"\xff"])).map(b"".join)


def _lines(data: bytes, cuts: list[int]) -> list[str]:
    splitter = LineSplitter()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    lines = []
    for start, end in pairwise(edges):
        lines += splitter.feed(data[start:end])
    return lines + splitter.end()


@given(content, st.lists(st.integers(0, 100)))
def test_any_chunking_gives_the_same_lines(data: bytes, cuts: list[int]) -> None:
    """Where the chunks are cut has no influence on the lines."""
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert _lines(data, cuts) == [
        line.removesuffix(b"\r").decode("utf-8", "replace") for line in expected
    ]


def test_line_ends_of_unix_and_windows_are_left_out() -> None:
    """LF and CR LF end a line; a CR elsewhere is part of it."""
    assert _lines(b"a\nb\r\nc\rd\n", []) == ["a", "b", "c\rd"]


def test_blank_lines_and_a_last_line_without_end_count() -> None:
    """As many messages as lines."""
    assert _lines(b"\n\na", []) == ["", "", "a"]
    assert _lines(b"", []) == []


def test_what_is_not_utf_8_becomes_replacement_characters() -> None:
    """No line is lost for its encoding."""
    assert _lines(b"caf\xe9\n\xff\xfe\n", []) == ["caf�", "��"]


@given(
    length=st.integers(LONGEST_LINE - 2, LONGEST_LINE + 3),
    end=st.sampled_from([b"\n", b"\r\n", b""]),
    cuts=st.lists(st.integers(LONGEST_LINE - 3, LONGEST_LINE + 6)),
)
def test_a_line_about_as_long_as_the_limit(length: int, end: bytes, cuts: list[int]) -> None:
    """The limit is of the line without its end, wherever it is cut."""
    lines = _lines(b"x" * length + end + b"next", cuts)
    if end:
        assert lines == ["x" * min(length, LONGEST_LINE), "next"]
    else:
        assert lines == [("x" * length + "next")[:LONGEST_LINE]]


def test_a_line_without_end_takes_bounded_memory() -> None:
    """Of a line that goes on and on, the beginning is kept and the rest is left out."""
    splitter = LineSplitter()
    for _ in range(100):
        assert splitter.feed(b"x" * LONGEST_LINE) == []
        assert len(splitter._open) <= LONGEST_LINE + 1
    assert splitter.feed(b"\nnext\n") == ["x" * LONGEST_LINE, "next"]
