"""Files, pipes, and their lines."""

import os
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon.cli.failures import UnreadableFileError
from logcommon.cli.files import (
    LONGEST_LINE,
    STDIN,
    LineSplitter,
    Source,
    require_readable,
    total_size,
)

# Few enough letters that line ends, and halves of characters, are everywhere.
content = st.lists(st.sampled_from([b"\n", b"\r", b"a", b"\xc3", b"\xa9", b"\xff"])).map(b"".join)


async def _content(source: Source) -> bytes:
    data = b""
    while chunk := await source.read():
        data += chunk
    source.close()
    return data


async def test_a_file_is_read_from_beginning_to_end(tmp_path: Path) -> None:
    """A file longer than a chunk is read whole."""
    data = os.urandom(600_000)
    (tmp_path / "log").write_bytes(data)
    assert await _content(Source(tmp_path / "log")) == data


async def test_what_never_makes_one_wait_is_read(tmp_path: Path) -> None:
    """A device such as /dev/null is read, although it can't be waited for."""
    assert await _content(Source(Path(os.devnull))) == b""


async def test_a_pipe_is_waited_for_without_blocking(tmp_path: Path) -> None:
    """Waiting for the writer of a pipe can be cancelled."""
    os.mkfifo(tmp_path / "pipe")
    source = Source(tmp_path / "pipe")
    with anyio.move_on_after(0.01) as scope:
        await source.read()
    assert scope.cancelled_caught

    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.write(writer, b"hello")
    assert await source.read() == b"hello"
    os.close(writer)
    assert await source.read() == b""
    source.close()


def test_unreadable_files_are_found_out_beforehand(tmp_path: Path) -> None:
    """A missing file and a directory are errors before anything is read; standard input is not."""
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UnreadableFileError, match=str(path)):
            require_readable(path, follow=False)
    require_readable(STDIN, follow=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("is_pipe", [False, True])
def test_a_forbidden_file_is_found_out_beforehand(tmp_path: Path, is_pipe: bool) -> None:
    """A file or pipe without permission to read is an error before anything is read."""
    path = tmp_path / "log"
    os.mkfifo(path) if is_pipe else path.touch()
    path.chmod(0)
    with pytest.raises(UnreadableFileError, match="denied"):
        require_readable(path, follow=False)


def test_a_pipe_is_not_opened_to_find_out_whether_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its permissions say so: opening and closing it would break it for its writer."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    with pytest.raises(UnreadableFileError, match="denied"):
        require_readable(tmp_path / "pipe", follow=False)


async def test_only_regular_files_can_be_followed(tmp_path: Path) -> None:
    """A pipe can be read but not followed, and checking it does not break it for its writer."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.close(reader)
    require_readable(tmp_path / "pipe", follow=False)
    with pytest.raises(UnreadableFileError, match="not a regular file"):
        require_readable(tmp_path / "pipe", follow=True)
    os.close(writer)


def test_the_size_is_known_for_regular_files_alone(tmp_path: Path) -> None:
    """With a pipe among the files the size is unknown."""
    (tmp_path / "a").write_bytes(b"xyz")
    (tmp_path / "b").write_bytes(b"xy")
    assert total_size([tmp_path / "a", tmp_path / "b"]) == 5
    assert total_size([tmp_path / "a", STDIN]) is None


def _lines(data: bytes, cuts: list[int]) -> list[str]:
    splitter = LineSplitter()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    lines = []
    for start, end in pairwise(edges):
        lines += splitter.feed(data[start:end])
    return lines + splitter.end()


@given(content, st.lists(st.integers(0, 100)))
def test_any_chunking_gives_the_same_lines(data: bytes, cuts: list[int]) -> None:
    """The lines don't depend on where the chunks are cut."""
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert _lines(data, cuts) == [
        line.removesuffix(b"\r").decode("utf-8", "replace") for line in expected
    ]


def test_line_ends_of_unix_and_windows_are_left_out() -> None:
    """LF and CR LF end a line; any other CR is part of it."""
    assert _lines(b"a\nb\r\nc\rd\n", []) == ["a", "b", "c\rd"]


def test_blank_lines_and_a_last_line_without_end_count() -> None:
    """There are as many messages as lines."""
    assert _lines(b"\n\na", []) == ["", "", "a"]
    assert _lines(b"", []) == []


def test_what_is_not_utf_8_becomes_replacement_characters() -> None:
    """No line is lost because of its encoding."""
    assert _lines(b"caf\xe9\n\xff\xfe\n", []) == ["caf�", "��"]


@given(
    length=st.integers(LONGEST_LINE - 2, LONGEST_LINE + 3),
    end=st.sampled_from([b"\n", b"\r\n", b""]),
    cuts=st.lists(st.integers(LONGEST_LINE - 3, LONGEST_LINE + 6)),
)
def test_a_line_about_as_long_as_the_limit(length: int, end: bytes, cuts: list[int]) -> None:
    """The limit applies to a line without its end, wherever the chunks are cut."""
    lines = _lines(b"x" * length + end + b"next", cuts)
    if end:
        assert lines == ["x" * min(length, LONGEST_LINE), "next"]
    else:
        assert lines == [("x" * length + "next")[:LONGEST_LINE]]


def test_a_line_without_end_takes_bounded_memory() -> None:
    """Only the beginning of an endless line is kept."""
    splitter = LineSplitter()
    for _ in range(100):
        assert splitter.feed(b"x" * LONGEST_LINE) == []
        assert len(splitter._unfinished) <= LONGEST_LINE + 1
    assert splitter.feed(b"\nnext\n") == ["x" * LONGEST_LINE, "next"]
