"""Following files that grow, are truncated and are replaced."""

import gzip
from pathlib import Path

import pytest

from logcommon.cli.failures import UnreadableFileError
from logcommon.cli.followed import FollowedFile
from support.followed import append, fresh_lines


async def test_a_followed_file_gives_what_is_added(tmp_path: Path) -> None:
    """A file is read from its beginning; a line counts once it has an end or following ends."""
    path = tmp_path / "log"
    path.write_text("one\ntw")
    file = FollowedFile(path)
    assert await fresh_lines(file) == ["one"]
    append(path, "o\nthree")
    assert await fresh_lines(file) == ["two"]
    assert await file.read() is None
    assert file.end() == ["three"]


async def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    """After a truncation an unfinished line counts by itself, and nothing is counted twice."""
    path = tmp_path / "log"
    path.write_text("one\ntwo\nbegun")
    file = FollowedFile(path)
    assert await fresh_lines(file) == ["one", "two"]
    path.write_text("new\n")
    assert await fresh_lines(file) == ["begun", "new"]
    assert file.end() == []


async def test_a_replaced_file_is_read_to_its_end_first(tmp_path: Path) -> None:
    """The rest of the old file is read first, then the new one from its beginning."""
    path = tmp_path / "log"
    path.write_text("one\n")
    file = FollowedFile(path)
    assert await fresh_lines(file) == ["one"]
    append(path, "two\nbegun")
    path.rename(tmp_path / "log.1")
    path.write_text("new\n")
    assert await fresh_lines(file) == ["two", "begun", "new"]
    assert file.end() == []


async def test_a_file_may_be_missing_for_a_while(tmp_path: Path) -> None:
    """Until the new file exists, lines added to the old one still count."""
    path = tmp_path / "log"
    path.write_text("one\n")
    file = FollowedFile(path)
    path.rename(tmp_path / "log.1")
    assert await fresh_lines(file) == ["one"]
    append(tmp_path / "log.1", "two\n")
    assert await fresh_lines(file) == ["two"]

    path.write_text("new\n")
    assert await fresh_lines(file) == ["new"]
    assert file.end() == []


async def test_a_new_file_that_cannot_be_read_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is tried again, as its mode may be about to change."""
    path = tmp_path / "log"
    path.write_text("one\n")
    file = FollowedFile(path)
    path.rename(tmp_path / "log.1")
    path.mkdir()
    assert await fresh_lines(file) == ["one"]
    assert await file.read() is None
    assert capsys.readouterr().err.count("Is a directory; trying again") == 1

    path.rmdir()
    path.write_text("new\n")
    assert await fresh_lines(file) == ["new"]
    assert file.end() == []


async def test_a_first_file_that_cannot_be_read_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if it did not exist yet."""
    path = tmp_path / "log"
    file = FollowedFile(path)
    path.mkdir()
    assert await file.read() is None
    assert "Is a directory; trying again" in capsys.readouterr().err
    path.rmdir()
    path.write_text("new\n")
    assert await fresh_lines(file) == ["new"]
    assert file.end() == []


@pytest.mark.parametrize("gap", [10, 5000, 1_000_000])
async def test_a_writer_that_goes_on_behind_a_gap(tmp_path: Path, gap: int) -> None:
    """The zeros that a writer leaves by not appending belong to no line."""
    path = tmp_path / "log"
    path.write_text("x" * 9 + "\n")
    file = FollowedFile(path)
    await fresh_lines(file)
    with path.open("r+b") as writer:
        writer.truncate(0)
        writer.seek(gap)
        writer.write(b"next\nlast\n")

    assert await fresh_lines(file) == ["next", "last"]
    file.end()


async def test_a_compressed_file_is_not_followed(tmp_path: Path) -> None:
    """A compressed file is refused even if it appears later: its bytes are not lines."""
    path = tmp_path / "log"
    file = FollowedFile(path)
    path.write_bytes(gzip.compress(b"a\n"))
    with pytest.raises(UnreadableFileError, match=r"compressed with gzip .* without --follow"):
        await file.read()
    file.end()
