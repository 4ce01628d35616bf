"""What Python programs write: a time, a severity and a name, in the usual orders. No I/O.

That is `logging` with its usual formats, and uvicorn, gunicorn, Flask, Celery, loguru and
OpenStack. Programs in other languages often write the same.
"""

import re

from logcommon.cli.formats.record import SEVERITY_WORDS, LineFormat, Record, severity_of
from logcommon.cli.formats.times import ISO_TIME, seconds_of

_SEVERITY = "|".join(SEVERITY_WORDS)
_GAP = r"[\s|:,\-]"

_TIMED = re.compile(rf"\[?(?P<time>{ISO_TIME})\]?(?P<rest>{_GAP}.*)", re.DOTALL)
_LEVEL = re.compile(
    rf"{_GAP}+(?:\[?\d+\]?[\s|]+)?"  # a process or a thread
    rf"(?:[\[(]?(?P<first>(?i:{_SEVERITY}))"
    rf"|\[?(?P<name>[A-Za-z_][\w.\-]*)\]?(?:\s+[-|])?\s+[\[(]?(?P<second>{_SEVERITY.upper()}))"
    r"(?:\s*[\])])?(?=[\s|:,/\]\-]|$)(?:/[\w.\-]+\])?"  # Celery writes `INFO/MainProcess]`
)
_AFTER_LEVEL = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\s*\|\s*(?P<name>[\w.]+):[^\s:]+:\d+ - (?P<message>.*)",  # loguru
        r" in (?P<name>[\w.]+): (?P<message>.*)",  # Flask
        r"\s+-\s+(?P<name>[A-Za-z_][\w.]*)\s+-\s+(?P<message>.*)",
        r"\s*:?\s*\[?(?P<name>[A-Za-z_][\w$]*(?:\.[\w$]+)+)\]?:\s+(?P<message>.*)",
        r"\s+(?P<name>[a-z_]\w*(?:\.\w+){2,})\s+(?P<message>.*)",
        r"\s*-?\s*\[(?P<name>)[^\]]{1,200}\]\s+-\s+(?P<message>.*)",  # a thread and a place
        r"(?P<name>)[\s|:,\-]*(?P<message>.*)",
    )
)
_UNTIMED = re.compile(
    r"(?P<severity>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?:(?P<name>[\w.]+):|\s+)(?P<message>.*)",
    re.DOTALL,
)


def _parse(line: str) -> Record | None:
    if match := _TIMED.fullmatch(line):
        return _timed(seconds_of(match["time"]), match["rest"])
    if match := _UNTIMED.fullmatch(line):
        return Record(match["message"], None, severity_of(match["severity"]), match["name"])
    return None


def _timed(time: float | None, rest: str) -> Record:
    level = _LEVEL.match(rest)
    if level is None:
        return Record(rest.lstrip(" \t|:,-"), time)
    severity, after = severity_of(level["first"] or level["second"]), rest[level.end() :]

    found = next(filter(None, (pattern.fullmatch(after) for pattern in _AFTER_LEVEL)), None)
    assert found is not None  # noqa: S101  # the last pattern matches anything
    return Record(found["message"], time, severity, level["name"] or found["name"] or None)


PYTHON = LineFormat("python", _parse, has_long_records=True)
