"""Following a log that is rotated: each line is read exactly once."""

import gzip
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from logcommon.cli.followed import FollowedFile
from support.followed import NumberedLog, append, call_before, fresh_lines, open_files


@pytest.fixture
def log(tmp_path: Path) -> NumberedLog:
    """A log with some lines."""
    log = NumberedLog(tmp_path / "app.log")
    log.write()
    return log


ROTATIONS = [NumberedLog.rename_away, NumberedLog.copy_and_truncate]


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("rotations", [1, 2, 3, 5])
@pytest.mark.parametrize("lines_between", [10, 1000, 20_000])  # the last is more than a chunk
async def test_rotations_between_two_looks(
    log: NumberedLog, rotate: Callable[[NumberedLog], None], rotations: int, lines_between: int
) -> None:
    """After rotations, every line is read once and in order, even if the file regrew."""
    file = FollowedFile(log.path)
    lines = await fresh_lines(file)
    for _ in range(3):
        for _ in range(rotations):
            log.write(lines_between)
            rotate(log)
            log.write(lines_between)
        lines += await fresh_lines(file)

    log.expect(lines)
    assert file.end() == []


@pytest.mark.parametrize("rotate", ROTATIONS)
async def test_a_rotation_before_all_was_read(
    log: NumberedLog, rotate: Callable[[NumberedLog], None]
) -> None:
    """Files with more than a chunk left are read to their ends."""
    log.write(50_000)
    file = FollowedFile(log.path)
    lines = await file.read() or []
    for _ in range(2):
        rotate(log)
        log.write(50_000)
    lines += await fresh_lines(file)
    log.expect(lines)
    assert file.end() == []


@pytest.mark.parametrize("rotate", ROTATIONS)
async def test_a_line_cut_apart_by_a_rotation_before_its_end_was_read(
    log: NumberedLog, rotate: Callable[[NumberedLog], None]
) -> None:
    """A line that was partly read is completed from the rotated file."""
    file = FollowedFile(log.path)
    append(log.path, "one li")
    await fresh_lines(file)
    append(log.path, "ne\n")
    rotate(log)
    append(log.path, "next\n")
    assert await fresh_lines(file) == ["one line", "next"]
    file.end()


@pytest.mark.parametrize("moment", ["copying", "copied", "truncated", "written"])
async def test_a_look_in_the_middle_of_a_copying_rotation(log: NumberedLog, moment: str) -> None:
    """At any moment of a rotation, each line is read once: from the copy or from the file."""
    file = FollowedFile(log.path)
    lines = await fresh_lines(file)

    for _ in range(3):
        log.write()
        log.copy_and_truncate()  # not looked at: the next one is begun at once
        log.write()
        log.shift()
        content = log.path.read_bytes()
        if moment == "copying":
            log.rotated(1).write_bytes(content[: len(content) // 2])
            lines += await fresh_lines(file)
        log.rotated(1).write_bytes(content)
        if moment == "copied":
            lines += await fresh_lines(file)
        os.truncate(log.path, 0)
        if moment == "truncated":
            lines += await fresh_lines(file)
        log.write()
        lines += await fresh_lines(file)
    log.expect(lines)
    file.end()


async def test_a_copy_is_found_although_the_file_is_empty(log: NumberedLog) -> None:
    """A copy is found even if no bytes were read that could show the truncation."""
    file = FollowedFile(log.path)
    lines = await fresh_lines(file)

    for _ in range(3):
        log.copy_and_truncate()
        lines += await fresh_lines(file)
        log.write()
        log.copy_and_truncate()
        lines += await fresh_lines(file)
        log.write()
        log.copy_and_truncate()
        log.write()
        lines += await fresh_lines(file)
    log.expect(lines)
    file.end()


async def test_a_file_that_regrew_past_where_it_was_read(log: NumberedLog) -> None:
    """A file that was truncated without a copy and grew again is read from its beginning."""
    file = FollowedFile(log.path)
    await fresh_lines(file)
    for text in ("other\n" * 5000, "and others\n" * 5000, "same size.\n" * 5000):
        log.path.write_text(text)
        assert await fresh_lines(file) == text.splitlines()
    file.end()


async def test_files_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    """Files that share a long header are not mistaken for each other."""
    path, header = tmp_path / "log", "#" * 2000 + "\n"
    path.write_text(header + "a\n")
    file = FollowedFile(path)
    await fresh_lines(file)
    path.write_text(header + "b\nc\n")
    assert await fresh_lines(file) == [header.strip(), "b", "c"]
    file.end()


async def test_what_is_still_written_to_a_renamed_file(log: NumberedLog) -> None:
    """A renamed file is read until the next rotation, as its writer takes a moment to switch."""
    file = FollowedFile(log.path)
    log.rename_away()
    lines = await fresh_lines(file)

    for _ in range(3):
        log.write(path=log.rotated(1))
        lines += await fresh_lines(file)
    log.write()
    lines += await fresh_lines(file)
    log.expect(lines)
    file.end()


async def test_old_files_are_closed(log: NumberedLog, tmp_path: Path) -> None:
    """A deleted file is closed at once, as it uses space, and any other after the next rotation."""
    file = FollowedFile(log.path)
    for _ in range(20):
        log.write()
        log.rename_away()
        await fresh_lines(file)
    assert open_files(tmp_path) <= 3
    log.rotated(1).unlink()
    await fresh_lines(file)

    assert len(file._generations) == 1
    file.end()


async def test_rotated_files_that_were_there_before_are_left_alone(log: NumberedLog) -> None:
    """They are not new, although their names change and a new file may reuse an inode."""
    for number in range(1, 4):
        log.rotated(number).write_text(f"old {number}\n")
    file = FollowedFile(log.path)
    lines = await fresh_lines(file)

    for rotate in (*ROTATIONS, *ROTATIONS):
        for _ in range(2):
            rotate(log)
            log.write()
        lines += await fresh_lines(file)
    log.expect(lines)
    file.end()


@pytest.mark.parametrize(
    "name", ["app.log.1", "app.log-20261124", "app.log.2026-11-24_21", "app-2026-11-24.log"]
)
async def test_names_of_rotated_files(tmp_path: Path, name: str) -> None:
    """Files in between are found by the names that logrotate, logging and loguru use."""
    path = tmp_path / "app.log"
    path.write_text("one\n")
    file = FollowedFile(path)
    await fresh_lines(file)
    path.rename(tmp_path / "away")
    path.write_text("two\n")
    path.rename(tmp_path / name)
    path.write_text("three\n")

    assert await fresh_lines(file) == ["two", "three"]
    file.end()


@pytest.mark.parametrize("name", ["app.log.error", "app-2.log", "application.log.1", "other"])
async def test_names_of_other_logs(tmp_path: Path, name: str) -> None:
    """The log of another process or handler is not mistaken for a rotated file."""
    path = tmp_path / "app.log"
    path.write_text("one\n")
    file = FollowedFile(path)
    await fresh_lines(file)
    (tmp_path / name).write_text("of another\n")
    path.rename(tmp_path / "away")
    path.write_text("two\n")
    assert await fresh_lines(file) == ["two"]
    file.end()


async def test_a_compressed_file_between_is_left_out(log: NumberedLog) -> None:
    """A compressed rotated file is not read, as its bytes are not lines."""
    file = FollowedFile(log.path)
    lines = await fresh_lines(file)
    log.rotated("1.gz").write_bytes(gzip.compress(b"compressed\n"))
    log.rename_away()
    log.write()
    lines += await fresh_lines(file)
    log.expect(lines)
    file.end()


async def test_a_file_that_is_not_there_yet_is_waited_for(
    log: NumberedLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A note says that it is missing; once it exists it is read, even if it was rotated by then."""
    waited_for = NumberedLog(tmp_path / "new.log")
    waited_for.rotated(1).write_text("old\n")
    file = FollowedFile(waited_for.path)
    assert re.search(r"waiting for .*new\.log, which does not exist", capsys.readouterr().err)
    assert await file.read() is None

    waited_for.write()
    waited_for.rename_away()
    waited_for.write()
    waited_for.expect(await fresh_lines(file))
    assert file.end() == []


async def test_a_pipe_does_not_replace_a_followed_file(
    log: NumberedLog, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe in its place is reported, and following continues once it is gone."""
    file = FollowedFile(log.path)
    lines = await fresh_lines(file)
    log.path.rename(log.rotated(1))
    os.mkfifo(log.path)
    lines += await fresh_lines(file)
    assert "not a regular file" in capsys.readouterr().err

    log.path.unlink()
    log.write()
    lines += await fresh_lines(file)
    log.expect(lines)
    file.end()


async def test_a_new_file_that_is_no_copy_is_left_out(log: NumberedLog, tmp_path: Path) -> None:
    """After a truncation, an older new file with another beginning is closed, and not read."""
    file = FollowedFile(log.path)
    lines = await fresh_lines(file)
    log.rotated(1).write_text("of another log\n")
    os.utime(log.rotated(1), ns=(0, 0))

    log.write()
    log.copy_and_truncate()
    log.write()
    lines += await fresh_lines(file)

    log.expect(lines)
    assert open_files(tmp_path) == 2  # the log and its copy
    file.end()
    assert open_files(tmp_path) == 0


async def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """The folder of a log may be made later too, as at the first start of its program."""
    log = NumberedLog(tmp_path / "later" / "app.log")
    file = FollowedFile(log.path)
    assert await file.read() is None

    log.path.parent.mkdir()
    log.write()
    log.expect(await fresh_lines(file))
    file.end()


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("rotations", [1, 2])
@pytest.mark.parametrize("is_read_first", [True, False])
async def test_a_rotation_in_the_middle_of_a_look(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rotate: Callable[[NumberedLog], None],
    rotations: int,
    is_read_first: bool,  # a parameter of the test
) -> None:
    """Before any access to a file, the log may be rotated, and still no line is missed."""
    for moment in itertools.count():
        folder = tmp_path / str(moment)
        folder.mkdir()
        log = NumberedLog(folder / "app.log")
        log.write()
        log.copy_and_truncate()
        lines = log.lines
        file = FollowedFile(log.path)
        if is_read_first:
            log.write(10)
            lines += await fresh_lines(file)
        log.write(10)

        def rotate_log(log: NumberedLog = log) -> None:
            for _ in range(rotations):
                rotate(log)
                log.write(10)

        with monkeypatch.context() as patched:
            happened = call_before(patched, moment, rotate_log)
            lines += await fresh_lines(file)
        lines += await fresh_lines(file)
        log.expect(lines)
        file.end()
        if not happened:
            break
    assert moment > 5
