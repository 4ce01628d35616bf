"""Which format the lines of a file have: the one that was named, or the one that fits. No I/O."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from logcommon.cli.formats.fields import JSON, LOGFMT
from logcommon.cli.formats.python import PYTHON
from logcommon.cli.formats.record import LineFormat, Record, severity_of
from logcommon.cli.formats.syslog import SYSLOG
from logcommon.cli.formats.times import seconds_of
from logcommon.cli.formats.web import APACHE, APACHE_ERROR, NGINX
from logcommon.exceptions import InvalidArgumentError

AUTO = "auto"
LINES = LineFormat("lines", Record)
"""Each line is a message, and says nothing else."""

_KNOWN = (JSON, LOGFMT, SYSLOG, NGINX, APACHE, APACHE_ERROR, PYTHON)
"""Those that are stricter come first."""
_BY_NAME = {each.name: each for each in (*_KNOWN, LINES)}
FORMAT_NAMES = (AUTO, *_BY_NAME)
"""What can be given instead of a pattern."""

_GROUPS = frozenset({"time", "severity", "name", "message"})


def format_named(name: str) -> LineFormat:
    """Return a format by its name, or the one that a regular expression with named groups makes.

    Raises:
        InvalidArgumentError: It is neither.

    """
    return _BY_NAME.get(name) or _format_of_pattern(name)


def format_of(lines: Sequence[str]) -> LineFormat | None:
    """Return the format that fits the most of some lines, None if none fits enough of them."""
    filled = [line for line in lines if line.strip()]
    fits = {each: sum(1 for line in filled if each.parse(line) is not None) for each in _KNOWN}
    best = max(_KNOWN, key=lambda each: fits[each])
    # Of a long record, such as a traceback, only one line fits.
    needed = len(filled) / (10 if best.has_long_records else 2)
    return best if fits[best] >= max(1, needed) else None


def _format_of_pattern(text: str) -> LineFormat:
    try:
        pattern = re.compile(text, re.DOTALL)
    except re.error as error:
        raise InvalidArgumentError(f"the regular expression is invalid: {error}") from None
    groups = set(pattern.groupindex)
    if "message" not in groups or groups - _GROUPS:
        raise InvalidArgumentError(
            f"it must be one of {', '.join(FORMAT_NAMES)}, or a regular expression with the group "
            "(?P<message>…) and, if you like, time, severity and name"
        )
    parse: Callable[[str], Record | None] = partial(_parse_with, pattern)
    return LineFormat("the pattern", parse, has_long_records=True)


def _parse_with(pattern: re.Pattern[str], line: str) -> Record | None:
    match = pattern.match(line)
    if match is None:
        return None
    found = match.groupdict()
    time = found.get("time")
    return Record(
        match["message"] or "",
        None if time is None else seconds_of(time),
        severity_of(found.get("severity")),
        found.get("name"),
    )
