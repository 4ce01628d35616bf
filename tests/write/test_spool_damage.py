"""A spool whose file is damaged: what can be read is used, and the rest is a number."""

import copy
import pickle
import random
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon import Destination, SpoolError
from logcommon.write.batch import Batch
from logcommon.write.spool import Spool
from logcommon.write.spool_file import SpoolFile
from support.clock import NOON
from support.layout import total

API = Destination("api", "info")
NOWHERE = "redis://127.0.0.1:1"

BATCHES = 4
CALLS = {1: 11, 2: 22, 3: 33, 4: 44, 5: 55}
"""Of the batches by number; 1 is settled, and 5 is the copy of what was in the buffer."""


def batch(number: int) -> Batch:
    counts = {(API, NOON): {f"message {number}": CALLS[number] - 1, "line\nbreak\t…": 1}}
    return Batch(counts, {API: [(f"message {number}", 1.5)]}, number, "producer", edition=number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def sound(path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What a killed process left: three batches in two records, and a copy."""
    monkeypatch.setattr(
        "logcommon.write.spool_file._sync", id
    )  # the disk itself is not of interest
    monkeypatch.setattr("os.fsync", id)
    spool = Spool(path)
    spool.open()
    spool.store([batch(1), batch(2)])
    spool.remove(1)
    spool.store([batch(2), batch(3), batch(4)])
    spool.store_copy([batch(5)])
    spool.close()
    return path.read_bytes()


def clear(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def replace(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))


def open_damaged(path: Path, data: bytes) -> Spool | None:
    """Return a spool that was opened over this file and closed, None if that was refused."""
    clear(path)
    path.write_bytes(data)
    spool = Spool(path)
    try:
        spool.open()
    except SpoolError:
        assert path.read_bytes() == data
        return None
    spool.close()
    if spool.damage is not None:
        assert spool.damage.aside.read_bytes() == data, "not moved aside as it was"
    again = Spool(path)
    again.open()
    again.close()
    assert (again.found, again.damage) == (spool.found, None), "what was read is not kept"
    return spool


def check(spool: Spool, *, is_all_known: bool) -> None:
    """Nothing is read that was not written; what is missing is a number, and never silent."""
    for found in spool.found:
        assert found == batch(found.number)
        assert found.edition == found.number
    found_calls = sum(found.calls for found in spool.found)
    # That the first is settled may be lost; its marker in Redis says the same.
    all_calls = sum(CALLS.values()) - CALLS[1] * (1 not in {found.number for found in spool.found})
    if found_calls < all_calls:
        assert spool.damage is not None
    if is_all_known:
        lost = spool.damage.calls if spool.damage else 0
        assert found_calls + lost == all_calls


def check_every_byte(path: Path, sound: bytes, changed: Callable[[int], Iterable[int]]) -> None:
    """Open the file with each of its bytes changed to each of what `changed` returns for it."""
    for position, byte in enumerate(sound):
        for other in changed(byte):
            data = sound[:position] + bytes([other]) + sound[position + 1 :]
            spool = open_damaged(path, data)
            assert spool is not None
            # A separator is between two parts: where one is the head, nothing else has the number.
            check(spool, is_all_known=byte not in b"\t\n")
            assert len(spool.found) >= BATCHES - 2


def test_what_is_sound_is_read_whole(path: Path, sound: bytes) -> None:
    """The file that the tests damage has all of it in the beginning."""
    spool = open_damaged(path, sound)
    assert spool is not None
    assert [found.number for found in spool.found] == [2, 3, 4, 5]
    check(spool, is_all_known=True)


def test_every_byte_changed(path: Path, sound: bytes) -> None:
    """One changed byte, wherever it is, loses at most the batches that it touches, and says so."""
    chance = random.Random(7)
    check_every_byte(path, sound, lambda byte: (byte ^ 1 << chance.randrange(8), byte ^ 0xFF))


def test_every_byte_changed_to_a_separator(path: Path, sound: bytes) -> None:
    """What looks like the end of a record or of a part is not taken for one."""
    check_every_byte(path, sound, lambda _: b"\n\t\r\0")


def test_every_length(path: Path, sound: bytes) -> None:
    """A file that is cut short gives the batches that are whole, and no other."""
    for length in range(len(sound)):
        spool = open_damaged(path, sound[:length])
        assert spool is not None
        for found in spool.found:
            assert found == batch(found.number)
        is_at_end_of_line = length == 0 or sound[length - 1 : length] == b"\n"
        assert (spool.damage is None) == is_at_end_of_line


def test_random_damage(path: Path, sound: bytes) -> None:
    """Holes, noise, and blocks moved or written twice: no batch is changed, whatever is lost."""
    chance = random.Random(11)
    for _ in range(300):
        start, end = sorted(chance.choices(range(len(sound)), k=2))
        other = chance.choice(
            [b"", bytes(end - start), chance.randbytes(end - start), sound[start:end] * 2]
        )
        spool = open_damaged(path, sound[:start] + other + sound[end:])
        if spool is not None:
            for found in spool.found:
                assert found == batch(found.number)


@pytest.mark.parametrize("length", [1, 4096])
def test_a_file_of_zeros(path: Path, length: int) -> None:
    """What some file systems leave after a loss of power is moved aside."""
    spool = open_damaged(path, bytes(length))
    assert spool is not None
    assert spool.damage is not None
    assert spool.found == []


def test_one_damaged_file_does_not_replace_another(
    path: Path, sound: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is kept under a name of its own, also within a second."""
    monkeypatch.setattr("time.strftime", lambda *_: "now")
    for number in range(3):
        path.write_bytes(sound + b"%d" % number)
        spool = Spool(path)
        spool.open()
        spool.close()
    aside = sorted(path.parent.glob("spool.damaged-*"))
    assert [file.read_bytes()[-1:] for file in aside] == [b"0", b"1", b"2"]


def test_a_damaged_spool_that_cannot_be_replaced(
    path: Path, sound: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unlocked again, so that it can be opened once there is room on the disk."""

    def fail(*_: object) -> None:
        raise SpoolError(path, "no space left on device")

    path.write_bytes(sound + b"garbage\n")
    with monkeypatch.context() as patched:
        patched.setattr(SpoolFile, "replace", fail)
        with pytest.raises(SpoolError, match="no space"):
            Spool(path).open()
    spool = Spool(path)
    spool.open()
    assert spool.damage is not None
    spool.close()


async def test_a_client_that_finds_a_damaged_spool(
    path: Path, valkey_url: str, valkey: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It writes what can be read; the rest is a number, and a warning that says where it is."""
    async with logcommon.connect(NOWHERE, spool=path, drain_timeout=0) as log:
        for number in range(1500):
            log.log_common_nowait("api", f"message {number}")
    caplog.clear()
    replace(path, b"message 1200", b"message 1300")
    async with logcommon.connect(valkey_url, spool=path) as log:
        await log.log_common("api", "own")
        stats = log.stats
        assert (stats.recovered, stats.counted) == (1500, 1001)
        assert (stats.dropped_unwritten, stats.in_doubt, stats.pending) == (500, 500, 0)
    assert await total(valkey) == 1001
    (warning,) = caplog.messages
    (aside,) = path.parent.glob("spool.damaged-*")
    assert str(aside) in warning
    assert "500 entries" in warning
    assert "message" not in warning


@pytest.mark.parametrize("name", ["spool", "spool.lock"])
def test_a_file_that_others_could_read(path: Path, sound: bytes, name: str) -> None:
    """Messages that are in a file already are for its owner only from now on."""
    path.with_name("spool").chmod(0o644)
    spool = Spool(path)
    spool.open()
    assert stat.S_IMODE(path.with_name(name).stat().st_mode) == 0o600
    spool.close()


def test_a_spool_of_an_earlier_version(path: Path) -> None:
    """It is refused and left alone, and the error says what to do."""
    data = b"SQLite format 3\0".ljust(68, b"\0") + b"log1" + bytes(4024)
    path.write_bytes(data)
    with pytest.raises(SpoolError, match="open it once more with that version"):
        Spool(path).open()
    assert path.read_bytes() == data


def test_a_spool_error_can_be_sent_to_another_process(path: Path) -> None:
    """It can be pickled and copied, and says the same."""
    path.mkdir()
    with pytest.raises(SpoolError) as caught:
        Spool(path).open()
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):  # noqa: S301
        assert str(twin) == str(caught.value)
        assert twin.path == str(path)
