"""Decompresses chunks of bytes. No I/O."""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol


class CompressedDataError(Exception):
    """Compressed data can't be read; the text says why."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Format(NamedTuple):
    """A compression format."""

    name: str
    beginnings: tuple[bytes, ...]
    """The bytes that its data may begin with."""
    new_decompressor: Callable[[], tuple[_Decompressor, type[Exception]]]
    """Returns a decompressor, and the error that it raises for damaged data."""


def _gzip() -> tuple[_Decompressor, type[Exception]]:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), zlib.error


def _bzip2() -> tuple[_Decompressor, type[Exception]]:
    # Imported here, as some builds of Python lack it; lzma likewise.
    import bz2

    return bz2.BZ2Decompressor(), OSError


def _xz() -> tuple[_Decompressor, type[Exception]]:
    import lzma

    return lzma.LZMADecompressor(), lzma.LZMAError


def _zstd() -> tuple[_Decompressor, type[Exception]]:
    if sys.version_info >= (3, 14):  # pragma: no cover  # not the Python of CI
        from compression import zstd
    else:
        from backports import zstd

    return zstd.ZstdDecompressor(), zstd.ZstdError


_FORMATS = (
    Format("gzip", (b"\x1f\x8b\x08",), _gzip),
    # Not just BZh, which a line of text may begin with.
    Format(
        "bzip2",
        tuple(
            b"BZh%d%b" % (level, block)
            for level in range(1, 10)
            for block in (b"1AY&SY", b"\x17rE8P\x90")
        ),
        _bzip2,
    ),
    Format("xz", (b"\xfd7zXZ\x00",), _xz),
    Format("zstd", (b"\x28\xb5\x2f\xfd",), _zstd),
)
LONGEST_BEGINNING = max(len(each) for kind in _FORMATS for each in kind.beginnings)
"""Bytes that are enough to recognize a format."""


def format_of(data: bytes) -> Format | None:
    """Return the format of a file that begins with `data`, or None if it is not compressed."""
    return next((kind for kind in _FORMATS if data.startswith(kind.beginnings)), None)


class Expander:
    """Decompresses gzip, bzip2, xz and zstd, and passes on other bytes as they are.

    Args:
        longest: The most bytes to yield at once: a little data may decompress to a lot.

    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._beginning: bytes | None = b""
        self._format: Format | None = None
        self._stream: _Decompressor | None = None
        self._fault: type[Exception] = OSError

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of `data`; exhaust it before feeding more.

        Raises:
            CompressedDataError: The data is damaged, or can't be decompressed here.

        """
        if self._beginning is not None:
            data = self._beginning + data
            if _may_become_compressed(data):
                self._beginning = data
                return
            self._beginning = None
            self._format = format_of(data)

        if self._format is None:
            yield data
        else:
            yield from self._expand(data, self._format)

    def end(self) -> bytes:
        """Return the bytes that were held back to recognize the format.

        Raises:
            CompressedDataError: The compressed data is cut off.

        """
        if self._format and self._stream and not self._stream.eof:
            raise CompressedDataError(
                f"it is cut off: its {self._format.name} data has no end; "
                "the lines before that were counted"
            )
        return self.rest()

    def rest(self) -> bytes:
        """Return the bytes that were held back, even if the compressed data has no end."""
        rest, self._beginning = self._beginning, None
        return rest or b""

    def _expand(self, data: bytes, kind: Format) -> Iterator[bytes]:
        while data:
            if self._stream is None or self._stream.eof:
                # Compressed files may be concatenated, and padded with zeros.
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._stream, self._fault = _new_decompressor(kind)

            while content := self._decompressed(self._stream, data, kind):
                yield content
                if len(content) < self._longest or self._stream.eof:
                    break
                # There may be more. Only zlib returns the data that it has not used yet.
                data = getattr(self._stream, "unconsumed_tail", b"")
            data = self._stream.unused_data

    def _decompressed(self, stream: _Decompressor, data: bytes, kind: Format) -> bytes:
        try:
            return stream.decompress(data, self._longest)
        except self._fault:
            raise CompressedDataError(
                f"its {kind.name} data is damaged; the lines before that were counted"
            ) from None


def _new_decompressor(kind: Format) -> tuple[_Decompressor, type[Exception]]:
    try:
        return kind.new_decompressor()
    except ImportError:
        raise CompressedDataError(
            f"it is compressed with {kind.name}, which this Python can't decompress; "
            "decompress it into standard input"
        ) from None


def _may_become_compressed(data: bytes) -> bool:
    beginnings = (each for kind in _FORMATS for each in kind.beginnings)
    return any(len(data) < len(each) and each.startswith(data) for each in beginnings)
