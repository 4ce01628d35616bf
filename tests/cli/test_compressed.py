"""Decompressing chunks of bytes."""

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from logcommon.cli.compressed import CompressedDataError, Expander, format_of

TEXT = b"a line of a log\n" * 100
LONGEST = 1000


def zstd_compress(text: bytes) -> bytes:
    """Compress as the program `zstd` does, with a checksum."""
    return zstd.compress(text, options={zstd.CompressionParameter.checksum_flag: 1})


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd_compress,
}
kinds = st.sampled_from(sorted(COMPRESSORS))


def _expanded(data: bytes, step: int) -> bytes:
    expander, content = Expander(LONGEST), b""
    for start in range(0, len(data), step):
        for piece in expander.feed(data[start : start + step]):
            if format_of(data):
                assert len(piece) <= LONGEST
            content += piece
    return content + expander.end()


@given(kinds, st.sampled_from([0, 1, LONGEST, 2 * LONGEST, 12_345]), st.integers(1, 200))
def test_any_chunking_gives_the_content(kind: str, size: int, step: int) -> None:
    """Concatenated and padded files are read too, and pieces are bounded."""
    text = (TEXT * 10)[:size]
    data = COMPRESSORS[kind](text)
    assert _expanded(data, step) == text
    assert _expanded(data + COMPRESSORS[kind](TEXT) + bytes(512), step) == text + TEXT


@given(st.binary(max_size=50), st.integers(1, 20))
def test_anything_else_stays_as_it_is(data: bytes, step: int) -> None:
    """Bytes that are not compressed are returned as they are, however few."""
    if format_of(data) is None:
        assert _expanded(data, step) == data


@pytest.mark.parametrize("text", [b"BZh", b"BZhang logged in\n", b"B", b"\x1f\x8b", b"BZh91AY&S"])
def test_text_that_begins_like_compressed_data(text: bytes) -> None:
    """Half of a format's first bytes is text."""
    assert _expanded(text, 1) == text


def test_a_small_file_with_a_huge_content_is_expanded_in_pieces() -> None:
    """Ten megabytes of zeros, ten kilobytes when compressed, don't become one piece."""
    for compress in COMPRESSORS.values():
        expander = Expander(LONGEST)
        sizes = [len(piece) for piece in expander.feed(compress(bytes(10_000_000)))]
        assert max(sizes) == LONGEST
        assert sum(sizes) == 10_000_000
        assert expander.end() == b""


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_data_that_is_cut_off(kind: str) -> None:
    """Data cut off anywhere is an error, after the content before the cut."""
    data = COMPRESSORS[kind](TEXT)
    for cut in range(12, len(data)):
        expander = Expander(LONGEST)
        assert TEXT.startswith(b"".join(expander.feed(data[:cut])))
        with pytest.raises(CompressedDataError, match=f"cut off: its {kind} data has no end"):
            expander.end()


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_data_that_is_damaged(kind: str) -> None:
    """A flipped bit is an error, and so are uncompressed bytes at the end."""
    data = COMPRESSORS[kind](TEXT)
    flipped = data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]
    for damaged in (flipped, data + b"something else"):
        with pytest.raises(CompressedDataError, match=f"{kind} data is damaged"):
            b"".join(Expander(LONGEST).feed(damaged))


@pytest.mark.parametrize(
    ("kind", "module"), [("bzip2", "bz2"), ("xz", "lzma"), ("zstd", "backports.zstd")]
)
def test_a_python_without_the_module(
    kind: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a module is missing, the error says what to do."""
    data = COMPRESSORS[kind](TEXT)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr("backports.zstd", raising=False)
    with pytest.raises(
        CompressedDataError, match=f"{kind}, which this Python can't decompress; de"
    ):
        list(Expander(LONGEST).feed(data))
