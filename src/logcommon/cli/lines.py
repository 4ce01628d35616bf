"""Bytes in chunks become lines of text. Pure."""

LONGEST_LINE = 64 * 1024
"""Bytes that are kept of a line; the rest, up to its end, is left out."""


class LineSplitter:
    """Puts the lines together that a file's chunks have cut apart.

    A line ends with LF or CR LF, and what is not UTF-8 becomes replacement characters. Memory is
    bounded by the longest chunk, also for a line that never ends.
    """

    def __init__(self) -> None:
        self._open = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that end in `chunk`."""
        pieces = chunk.split(b"\n")
        pieces[0] = self._open + pieces[0]
        # One byte more than is kept: if it is the CR before the LF, it is not of the line.
        self._open = pieces.pop()[: LONGEST_LINE + 1]
        return list(map(_decoded, pieces))

    def end(self) -> list[str]:
        """Return the last line, if it has no end; then begin anew."""
        rest, self._open = self._open, b""
        return [_decoded(rest)] if rest else []


def _decoded(line: bytes) -> str:
    return line.removesuffix(b"\r")[:LONGEST_LINE].decode("utf-8", "replace")
