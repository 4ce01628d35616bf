"""The values that the rest of the package speaks in. Pure: no I/O, no clock of its own."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from logcommon.exceptions import InvalidArgumentError

OTHER = "<other>"
"""The message under which whatever goes over a bound is counted."""

RECENT_LENGTH = 100
"""How many entries a recent log keeps, as in the book."""

LONGEST_NAME = 256
"""How many characters a destination's name or severity may have."""

Clock: TypeAlias = Callable[[], float]
"""Returns the time in seconds since the epoch, as `time.time` does."""

Severity: TypeAlias = int | str
"""A `logging` level, or any text."""

Hour: TypeAlias = int
"""A UTC hour, counted from the epoch."""

HOUR_SECONDS = 3600

LATEST = datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp()
"""Seconds since the epoch up to which there are hours that can be written."""

FIRST_HOUR: Hour = -17_259_888
"""The first hour that can be written: that of the year 1."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CUT_MARK = "…"
_ASCTIME_LENGTH = len("Mon Nov 23 21:10:58 2026")
_SEVERITIES: dict[Severity, str] = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}


class Destination(NamedTuple):
    """One counted log: a service's name and a severity."""

    name: str
    severity: str

    @classmethod
    def of(cls, name: str, severity: Severity) -> "Destination":
        """Return the destination for arguments as a caller gives them.

        Raises:
            InvalidArgumentError: The name is not text, is empty or is too long; or the severity is.

        """
        return cls(_checked("name", name), _checked("severity", severity_name(severity)))


Group: TypeAlias = tuple[Destination, Hour]
"""Entries of one destination and one hour are counted in one set."""


@dataclass(frozen=True, slots=True)
class CommonRow:
    """A message, and how often it was logged in an hour."""

    count: int
    message: str


@dataclass(frozen=True, slots=True)
class RecentRow:
    """An entry of the recent log; `time` is None where another program wrote it in its own way."""

    time: datetime | None
    message: str


def severity_name(severity: Severity) -> str:
    """Return `debug`, `info`, … for a `logging` level, else the text given, in lower case."""
    if not isinstance(severity, int | str):
        raise InvalidArgumentError(
            f"severity must be a logging level or text, not {type(severity).__name__}"
        )
    plain: Severity = str.__str__(severity) if isinstance(severity, str) else int.__int__(severity)
    return _SEVERITIES.get(plain, str(plain).lower())


def _checked(what: str, text: str) -> str:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{what} must be text, not {type(text).__name__}")
    text = str.__str__(text)
    if not 0 < len(text) <= LONGEST_NAME:
        raise InvalidArgumentError(
            f"{what} must have 1 to {LONGEST_NAME} characters, and has {len(text)}"
        )
    return text


def require_text(message: str) -> None:
    """Raise InvalidArgumentError unless `message` is text."""
    if not isinstance(message, str):
        raise InvalidArgumentError(
            f"message must be text, not {type(message).__name__}: decode or format it first"
        )


def plain_text(message: str) -> str:
    """Return `message` as a plain string, whatever its class makes of hashing and encoding.

    Raises:
        InvalidArgumentError: It is not text.

    """
    require_text(message)
    return str.__str__(message)


def checked_time(seconds: float) -> float:
    """Return what a clock returned, as a plain number.

    Raises:
        InvalidArgumentError: It is no time between 1970 and the year 9999.

    """
    try:
        plain = float(seconds)
    except (TypeError, ValueError):
        plain = math.nan
    if not 0 <= plain < LATEST:
        raise InvalidArgumentError(
            f"clock must return seconds since the epoch, up to the year 9999, not {seconds!r}"
        )
    return plain


def cut_message(message: str, longest: int) -> str:
    """Return `message`, cut between characters to `longest` UTF-8 bytes and marked with `…`."""
    # Each character has at least one byte, so a prefix is enough to tell.
    encoded = encode_message(message[: longest + 1])
    if len(encoded) <= longest:
        return message
    # Half a character at the end is what `ignore` leaves out.
    return encoded[: longest - len(CUT_MARK.encode())].decode("utf-8", "ignore") + CUT_MARK


def encode_message(message: str) -> bytes:
    r"""Return `message` as it is stored; a lone surrogate, which has no UTF-8, as `\udc80`."""
    return message.encode("utf-8", "backslashreplace")


def hour_of(seconds: float) -> Hour:
    """Return the UTC hour in which a time since the epoch lies."""
    return int(seconds // HOUR_SECONDS)


def hour_text(hour: Hour) -> str:
    """Return an hour as the book writes it: `2026-11-23T21:00:00`; raises as `hour_start` does."""
    return hour_start(hour).replace(tzinfo=None).isoformat()


def hour_start(hour: Hour) -> datetime:
    """Return the first moment of an hour, aware, in UTC.

    Raises:
        InvalidArgumentError: The hour is not in the years 1 to 9999.

    """
    try:
        return _EPOCH + timedelta(hours=hour)
    except OverflowError:
        raise InvalidArgumentError("the hour must be in the years 1 to 9999") from None


def parse_hour(text: str | bytes | None) -> Hour | None:
    """Return the hour that `hour_text` wrote, None where the text is missing or is no hour."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    try:
        return hour_of(datetime.fromisoformat(text or "").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def recent_text(message: str, seconds: float) -> str:
    """Return an entry of the recent log as the book writes it, in UTC."""
    return f"{_asctime(int(seconds))} {message}"


@lru_cache(maxsize=128)
def _asctime(second: int) -> str:
    # The hundred entries of a batch are mostly of one second.
    return time.asctime(time.gmtime(second))


def parse_recent(text: str) -> RecentRow:
    """Return what `recent_text` was given, to the second; text without a time is all message."""
    parsed = parsedate(text[:_ASCTIME_LENGTH])
    if parsed is None or text[_ASCTIME_LENGTH : _ASCTIME_LENGTH + 1] != " ":
        return RecentRow(None, text)
    try:
        moment = datetime(*parsed[:6], tzinfo=UTC)
    except (ValueError, OverflowError):  # `parsedate` knows no calendar: `Feb 31` passes
        return RecentRow(None, text)
    return RecentRow(moment, text[_ASCTIME_LENGTH + 1 :])
