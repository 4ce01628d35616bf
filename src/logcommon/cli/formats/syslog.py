"""Syslog: RFC 3164 with or without a priority, RFC 5424, and what `journalctl` prints. No I/O."""

import re

from logcommon.cli.formats.record import SEVERITY_WORDS, LineFormat, Record
from logcommon.cli.formats.times import seconds_of

_SEVERITIES = (
    *("critical", "critical", "critical"),  # emergency, alert, critical
    *("error", "warning", "info", "info", "debug"),  # error, warning, notice, informational, debug
)
"""By the number that a priority has for them."""

_PRIORITY = r"(?:<(?P<priority>\d{1,3})>)?"
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_OLD = re.compile(
    rf"{_PRIORITY}(?P<time>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d|{_ISO}) "
    rf"(?!(?i:{'|'.join(SEVERITY_WORDS)})\b)\S+ (?P<message>.*)",
    re.DOTALL,
)
_TAG = re.compile(r"(?P<name>[\w./()@+-]{1,100})(?:\[[^\]]{0,100}\])?: ?(?P<message>.*)", re.DOTALL)
_NEW = re.compile(
    rf"<(?P<priority>\d{{1,3}})>1 (?P<time>{_ISO}|-) \S+ (?P<name>\S+) \S+ \S+ "
    r'(?:-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+)(?: (?:\ufeff)?(?P<message>.*))?',
    re.DOTALL,
)


def _parse(line: str) -> Record | None:
    if match := _NEW.fullmatch(line):
        name = None if match["name"] == "-" else match["name"]
        return _record(match, name, match["message"] or "")
    if match := _OLD.fullmatch(line):
        tagged = _TAG.fullmatch(match["message"])
        if tagged is None:
            return _record(match, None, match["message"])
        return _record(match, tagged["name"], tagged["message"])
    return None


def _record(match: re.Match[str], name: str | None, message: str) -> Record:
    priority = match["priority"]
    severity = _SEVERITIES[int(priority) % 8] if priority else None
    return Record(message, seconds_of(match["time"]), severity, name)


SYSLOG = LineFormat("syslog", _parse)
