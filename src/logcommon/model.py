"""The values that all parts of the package use, and how Redis stores them. No I/O."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from logcommon.exceptions import InvalidArgumentError

OTHER = "<other>"
"""The message that everything past a limit is counted as."""

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

Minute: TypeAlias = int
"""A minute, counted from the epoch."""

HOUR_SECONDS = 3600
MINUTE_SECONDS = 60
_MINUTES_AN_HOUR = HOUR_SECONDS // MINUTE_SECONDS

LATEST = datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp()
"""Seconds since the epoch that a clock must stay below: the last hour of the year 9999."""

FIRST_HOUR: Hour = -17_259_888
"""The first hour that can be written: the first of the year 1."""

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
STANDARD_SEVERITIES = tuple(_SEVERITIES.values())
"""The names of the levels of `logging`."""


class FixedText(str):
    """A message that is counted as it is, because it is a template already."""

    __slots__ = ()


class Destination(NamedTuple):
    """One counted log: a service's name and a severity."""

    name: str
    severity: str

    @classmethod
    def of(cls, name: str, severity: Severity) -> "Destination":
        """Return the destination for a caller's arguments.

        Raises:
            InvalidArgumentError: The name or the severity is of the wrong type, empty or too long.

        """
        return cls(_checked("name", name), _checked("severity", severity_name(severity)))


Group: TypeAlias = tuple[Destination, Hour]
"""A destination and an hour, whose entries are counted in one set."""


@dataclass(frozen=True, slots=True)
class CommonRow:
    """A message, how often it was logged in an hour, and where."""

    count: int
    message: str
    destination: Destination
    example: str | None = None
    """If the message is a template: one of the messages that were counted as it."""
    merged: tuple["CommonRow", ...] = ()
    """If templates were merged: those that became this one, the most common first."""
    muted: bool = False
    """Whether somebody has muted it, and it has not come back."""

    @property
    def size(self) -> int:
        """Bytes that lines with this message take, about: without times and the like."""
        return self.count * len(encode_message(self.message))


@dataclass(frozen=True, slots=True)
class RecentRow:
    """An entry of the recent log, and where it was logged.

    `time` is None if another program wrote the entry in a format of its own.
    """

    time: datetime | None
    message: str
    destination: Destination


@dataclass(frozen=True, slots=True)
class NewEntries:
    """What was put on the recent logs between two readings."""

    rows: tuple[RecentRow, ...]
    """The oldest first."""
    missed: dict[Destination, int]
    """Calls whose entries were pushed off a recent log before it was read again."""


ChangeKind: TypeAlias = Literal["new", "back", "rising", "falling", "gone", "steady"]
"""How a message has changed: `new` was not counted in any kept hour before, `back` was, but not in
the window before, and `gone` is not counted any more. `rising` and `falling` are certain, `steady`
means that there is no change beyond chance and the usual variation of the traffic."""


@dataclass(frozen=True, slots=True)
class Window:
    """The hours of one side of a comparison."""

    hours: tuple[datetime, ...]
    """Their first moments, in UTC, the newest first."""
    seconds: float
    """How long they are together; of the current hour only what has passed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A message whose rate is compared between two windows."""

    kind: ChangeKind
    message: str
    destination: Destination
    before: int
    """How often it was counted in the window before."""
    after: int
    """How often it was counted in the window after."""
    rate_before: float
    """Calls an hour."""
    rate_after: float
    """Calls an hour."""
    at_least: float
    """The factor by which the rate went up or down at least, as far as one can tell; 1 if it may
    be the same."""
    first_seen: datetime
    """The first of the kept hours in which it was counted."""
    last_seen: datetime
    """The last hour in which it was counted."""
    example: str | None = None
    """If the message is a template: one of the messages that were counted as it."""
    muted: bool = False
    """Whether somebody has muted it, and it has not come back."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What has changed, the largest certain changes first, and what was compared."""

    changes: tuple[Change, ...]
    after: Window
    before: Window
    other_after: int = 0
    """Calls counted as `<other>` in the window after: a message among them may seem gone."""
    other_before: int = 0
    """Calls counted as `<other>` in the window before: a message among them may seem new."""


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A message of an hour, and what is known of it besides its count."""

    row: CommonRow
    share: float
    """Of all calls in the hour."""
    per_minute: float
    """Calls a minute, in the time of the hour that has passed."""
    change: Change | None
    """Compared with the newest hour before in which anything was logged."""
    history: tuple[int, ...]
    """Counts of the last 24 hours up to this one, the oldest first."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The most common messages of an hour, and all of its calls."""

    hour: datetime
    """Its first moment, in UTC."""
    calls: int
    messages: int
    """How many distinct ones there are, after merging."""
    rows: tuple[SummaryRow, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """How often a message was counted, hour by hour."""

    message: str
    counts: dict[datetime, int]
    """By the first moment of the hour, in UTC, the oldest first; of all kept hours in which
    anything was counted."""

    @property
    def first_seen(self) -> datetime | None:
        """The first of the kept hours in which it was counted, None if there is none."""
        return next((hour for hour, count in self.counts.items() if count), None)

    @property
    def last_seen(self) -> datetime | None:
        """The last hour in which it was counted, None if there is none."""
        return next((hour for hour, count in reversed(self.counts.items()) if count), None)


@dataclass(frozen=True, slots=True)
class Mark:
    """A note that something has happened, such as a deploy."""

    time: datetime
    text: str


class Counted(NamedTuple):
    """How often a message was counted in a time."""

    calls: int
    hours: float


@dataclass(frozen=True, slots=True)
class Mute:
    """A message that raises no alert, as somebody knows of it."""

    message: str
    since: datetime
    until: datetime | None
    """None for ever."""
    until_rises: float | None
    """The factor by which its rate must rise for it to come back; None if that changes nothing."""
    before: dict[Destination, Counted]
    """How often it was counted when it was muted, by destination."""


class RecentEntry(NamedTuple):
    """A parsed entry of the recent log; `time` is None if its text does not begin with one."""

    time: datetime | None
    message: str


def severity_name(severity: Severity) -> str:
    """Return `debug`, `info`, … for a `logging` level; any other text in lower case."""
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
            f"{what} must have 1 to {LONGEST_NAME} characters, not {len(text)}"
        )
    return text


def require_text(message: str) -> None:
    """Raise InvalidArgumentError unless `message` is text."""
    if not isinstance(message, str):
        raise InvalidArgumentError(
            f"message must be text, not {type(message).__name__}: decode or format it first"
        )


def plain_text(message: str) -> str:
    """Return `message` as a `str`, even if its class overrides how it is hashed or encoded.

    A fixed text stays one.

    Raises:
        InvalidArgumentError: It is not text.

    """
    if message.__class__ is FixedText:
        return message
    require_text(message)
    return str.__str__(message)


def checked_time(seconds: float) -> float:
    """Return the time that a clock returned, as a `float`.

    Raises:
        InvalidArgumentError: It is not a time between 1970 and the year 9999.

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
    # A character takes at least one byte, so nothing beyond this prefix can fit.
    encoded = encode_message(message[: longest + 1])
    if len(encoded) <= longest:
        return message
    # `ignore` leaves out a character that was cut in half.
    return encoded[: longest - len(CUT_MARK.encode())].decode("utf-8", "ignore") + CUT_MARK


def encode_message(message: str) -> bytes:
    r"""Return `message` in UTF-8, as it is stored; a lone surrogate becomes the text `\udc80`."""
    return message.encode("utf-8", "backslashreplace")


def hour_of(seconds: float) -> Hour:
    """Return the UTC hour of a time in seconds since the epoch."""
    return int(seconds // HOUR_SECONDS)


def minute_of(seconds: float) -> Minute:
    """Return the minute of a time in seconds since the epoch."""
    return int(seconds // MINUTE_SECONDS)


def hour_of_minute(minute: Minute) -> Hour:
    """Return the hour that a minute is in."""
    return minute // _MINUTES_AN_HOUR


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


def minute_start(minute: Minute) -> datetime:
    """Return the first moment of a minute, aware, in UTC."""
    return _EPOCH + timedelta(minutes=minute)


def parse_hour(text: str | bytes | None) -> Hour | None:
    """Return the hour that `hour_text` wrote; None if the text is missing or not an hour."""
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
    # The entries of a batch are mostly of the same second.
    return time.asctime(time.gmtime(second))


def parse_recent(text: str) -> RecentEntry:
    """Return the time and message of a stored entry; without a time, all of it is the message."""
    parsed = parsedate(text[:_ASCTIME_LENGTH])
    if parsed is None or text[_ASCTIME_LENGTH : _ASCTIME_LENGTH + 1] != " ":
        return RecentEntry(None, text)
    try:
        moment = datetime(*parsed[:6], tzinfo=UTC)
    except (ValueError, OverflowError):  # `parsedate` knows no calendar: `Feb 31` passes
        return RecentEntry(None, text)
    return RecentEntry(moment, text[_ASCTIME_LENGTH + 1 :])
