"""What a line of a log file says, and how a format reads it. No I/O."""

from collections.abc import Callable
from typing import NamedTuple

_SEVERITIES = {
    "debug": ("trace", "verbose", "fine", "finer", "finest", "dbg", "silly"),
    "info": ("information", "informational", "notice", "success", "log", "inf", "config"),
    "warning": ("warn", "wrn"),
    "error": ("err", "severe", "failure"),
    "critical": ("crit", "fatal", "alert", "emerg", "emergency", "panic", "dpanic"),
}
_NAMES = {
    spelling: severity
    for severity, others in _SEVERITIES.items()
    for spelling in (severity, *others)
}
SEVERITY_WORDS: tuple[str, ...] = tuple(sorted(_NAMES, key=len, reverse=True))
"""The words that say how severe a line is, in lower case; the longest first."""


class Record(NamedTuple):
    """One entry of a log file."""

    message: str
    time: float | None = None
    """Seconds since the epoch, None if the entry does not say."""
    severity: str | None = None
    name: str | None = None
    """The service, program or logger that the entry names."""
    template: str | None = None
    """What it is counted as, if the format knows that better than the message."""


class LineFormat(NamedTuple):
    """A format: how a line becomes a record."""

    name: str
    parse: Callable[[str], Record | None]
    """Returns the record that a line begins, None if it begins none."""
    has_long_records: bool = False
    """Whether lines that begin no record belong to the one before."""


def severity_of(word: str | None) -> str | None:
    """Return the severity that a word of a log file means; one that is unknown, in lower case."""
    if not word:
        return None
    plain = word.strip().lower()
    return _NAMES.get(plain) or _NAMES.get(plain.rstrip("0123456789"), plain)
