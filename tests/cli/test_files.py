"""Files, pipes and files that grow."""

import os
from pathlib import Path

import anyio
import pytest

from logcommon.cli.failures import UnreadableFileError
from logcommon.cli.files import STDIN, Source, require_readable, total_size


async def _content(source: Source) -> bytes:
    data = b""
    while chunk := await source.read():
        data += chunk
    source.close()
    return data


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
