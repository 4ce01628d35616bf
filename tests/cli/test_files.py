"""Files, pipes and files that grow."""

import os
from pathlib import Path

import anyio
import pytest

from logcommon.cli.failures import UnreadableFileError
from logcommon.cli.files import STDIN, FollowedFile, Source, require_readable, total_size


async def _content(source: Source) -> bytes:
    data = b""
    while chunk := await source.read():
        data += chunk
    source.close()
    return data


async def _fresh_lines(file: FollowedFile) -> list[str]:
    """Return the lines of as many reads as find something."""
    lines = []
    while (found := await file.read()) is not None:
        lines += found
    return lines


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


async def test_a_file_is_read_from_beginning_to_end(tmp_path: Path) -> None:
    """Also where it is longer than a chunk."""
    data = os.urandom(600_000)
    (tmp_path / "log").write_bytes(data)
    assert await _content(Source(tmp_path / "log")) == data


async def test_what_never_makes_one_wait_is_read(tmp_path: Path) -> None:
    """Devices such as /dev/null can't be waited for, and need not be."""
    assert await _content(Source(Path(os.devnull))) == b""


async def test_a_pipe_is_waited_for_without_blocking(tmp_path: Path) -> None:
    """Others go on while nobody writes, and waiting can be cancelled."""
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
    """One that is missing, and a directory; standard input always passes."""
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UnreadableFileError, match=str(path)):
            require_readable(path, follow=False)
    require_readable(STDIN, follow=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("is_pipe", [False, True])
def test_a_forbidden_file_is_found_out_beforehand(tmp_path: Path, is_pipe: bool) -> None:
    """A file or a pipe that its mode forbids to read."""
    path = tmp_path / "log"
    os.mkfifo(path) if is_pipe else path.touch()
    path.chmod(0)
    with pytest.raises(UnreadableFileError, match="denied"):
        require_readable(path, follow=False)


async def test_only_regular_files_can_be_followed(tmp_path: Path) -> None:
    """A pipe can be read, not followed; looking does not end who writes to it."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.close(reader)
    require_readable(tmp_path / "pipe", follow=False)
    with pytest.raises(UnreadableFileError, match="not a regular file"):
        require_readable(tmp_path / "pipe", follow=True)
    os.close(writer)


def test_the_size_is_known_for_regular_files_alone(tmp_path: Path) -> None:
    """With a pipe among them there is nothing to measure progress by."""
    (tmp_path / "a").write_bytes(b"xyz")
    (tmp_path / "b").write_bytes(b"xy")
    assert total_size([tmp_path / "a", tmp_path / "b"]) == 5
    assert total_size([tmp_path / "a", STDIN]) is None


async def test_a_followed_file_gives_what_is_added(tmp_path: Path) -> None:
    """From its beginning on; a line counts once its end is there, or when following ends."""
    path = tmp_path / "log"
    path.write_text("one\ntw")
    file = FollowedFile(path)
    assert await _fresh_lines(file) == ["one"]
    _append(path, "o\nthree")
    assert await _fresh_lines(file) == ["two"]
    assert await file.read() is None
    assert file.end() == ["three"]


async def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    """What was begun before counts as a line of its own, and nothing is counted twice."""
    path = tmp_path / "log"
    path.write_text("one\ntwo\nbegun")
    file = FollowedFile(path)
    assert await _fresh_lines(file) == ["one", "two"]
    path.write_text("new\n")
    assert await _fresh_lines(file) == ["begun", "new"]
    assert file.end() == []


async def test_a_replaced_file_is_read_to_its_end_first(tmp_path: Path) -> None:
    """What was still written to the old one counts, then the new one from its beginning."""
    path = tmp_path / "log"
    path.write_text("one\n")
    file = FollowedFile(path)
    assert await _fresh_lines(file) == ["one"]
    _append(path, "two\nbegun")
    path.rename(tmp_path / "log.1")
    path.write_text("new\n")
    assert await _fresh_lines(file) == ["two", "begun", "new"]
    assert file.end() == []


async def test_a_file_may_be_missing_for_a_while(tmp_path: Path) -> None:
    """Between the old and the new one, what is added to the old one still counts."""
    path = tmp_path / "log"
    path.write_text("one\n")
    file = FollowedFile(path)
    path.rename(tmp_path / "log.1")
    assert await _fresh_lines(file) == ["one"]
    _append(tmp_path / "log.1", "two\n")
    assert await _fresh_lines(file) == ["two"]
    path.write_text("new\n")
    assert await _fresh_lines(file) == ["new"]
    assert file.end() == []


async def test_a_new_file_that_cannot_be_read_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is tried again, as it may be on its way to its right mode."""
    path = tmp_path / "log"
    path.write_text("one\n")
    file = FollowedFile(path)
    path.rename(tmp_path / "log.1")
    path.mkdir()
    assert await _fresh_lines(file) == ["one"]
    assert await file.read() is None
    assert capsys.readouterr().err.count("Is a directory; trying again") == 1
    path.rmdir()
    path.write_text("new\n")
    assert await _fresh_lines(file) == ["new"]
    assert file.end() == []
