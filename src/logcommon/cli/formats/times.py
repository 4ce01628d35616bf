"""Times as log files write them. No I/O."""

import re
from datetime import datetime, timedelta
from functools import lru_cache

from logcommon.model import LATEST

ISO_TIME = (
    r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)\b)?"
)
"""A pattern of the times that most programs write."""

_STYLES = (
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y %H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S.%f %Y",
    "%y%m%d %H%M%S",
)
_WITHOUT_YEAR = "%Y %b %d %H:%M:%S"

_NUMBER = re.compile(r"\d{9,20}(?:\.\d+)?")
_SPACE_BEFORE_ZONE = re.compile(r" (?=[+-]\d)")
_UTC = re.compile(r" ?(?:UTC|GMT)$")
_LARGEST_SECONDS = 10**11
_DAY = timedelta(days=1)


@lru_cache(maxsize=4096)
def seconds_of(text: str) -> float | None:
    """Return a time in seconds since the epoch, None if the text is none that is known.

    A time without a zone is one of this computer's zone. One without a year is of the last twelve
    months. A number is of seconds, or of milli-, micro- or nanoseconds if it is so large.
    """
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        while seconds >= _LARGEST_SECONDS:
            seconds /= 1000
        return seconds

    moment = _iso(text) or _styled(text) or _in_last_year(text)
    try:
        found = -1.0 if moment is None else moment.timestamp()
    except (OverflowError, ValueError, OSError):
        return None
    return found if 0 <= found < LATEST else None


def _iso(text: str) -> datetime | None:
    plain = _UTC.sub("+00:00", _SPACE_BEFORE_ZONE.sub("", text)).replace("/", "-", 2)
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return None


def _styled(text: str) -> datetime | None:
    for style in _STYLES:
        try:
            return datetime.strptime(text, style)  # of this computer's zone
        except ValueError:
            continue
    return None


def _in_last_year(text: str) -> datetime | None:
    latest = datetime.now() + _DAY  # clocks may differ, and so may zones
    for year in range(latest.year, latest.year - 9, -1):  # 29 February may be eight years ago
        try:
            moment = datetime.strptime(f"{year} {text}", _WITHOUT_YEAR)
        except ValueError:
            continue
        if moment <= latest:
            return moment
    return None
