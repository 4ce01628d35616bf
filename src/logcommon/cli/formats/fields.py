"""Lines of named fields: JSON objects and logfmt. No I/O."""

import json
import re
from collections.abc import Mapping
from typing import Any

from logcommon.cli.formats.record import LineFormat, Record, severity_of
from logcommon.cli.formats.times import seconds_of
from logcommon.messages.tracebacks import origin_in

_MESSAGE = ("message", "msg", "event", "MESSAGE", "textPayload", "record.message", "log", "text")
_TIME = (
    *("timestamp", "@timestamp", "time", "ts", "asctime", "datetime", "date", "t"),
    *("__REALTIME_TIMESTAMP", "record.time.timestamp"),
)
_SEVERITY = (
    *("level", "severity", "levelname", "log.level", "lvl", "loglevel", "PRIORITY"),
    "record.level.name",
)
_NAME = (
    *("service", "service.name", "logger", "name", "logger_name", "log.logger", "app"),
    *("application", "component", "SYSLOG_IDENTIFIER", "record.name"),
)
_TRACEBACK = ("exc_info", "exception", "exc_text", "traceback", "stack_trace", "error.stack_trace")

_LEVELS = ((10, "debug"), (29, "debug"), (39, "info"), (49, "warning"), (59, "error"))
"""The largest number of each severity, as bunyan and pino write them; those of syslog are below."""
_SYSLOG_LEVELS = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")

_PAIR = re.compile(r'([A-Za-z_@][\w.@\-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')
_FEWEST_PAIRS = 2


def _parse_json(line: str) -> Record | None:
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return _record(fields) if isinstance(fields, dict) else None


def _parse_logfmt(line: str) -> Record | None:
    fields: dict[str, str] = {}
    position = 0
    while match := _PAIR.match(line, position):
        fields[match[1]] = _unquoted(match[2])
        position = match.end()
    if position < len(line) or len(fields) < _FEWEST_PAIRS:
        return None
    return _record(fields)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value, strict=False))
    except ValueError:  # an escape that JSON doesn't have
        return value[1:-1]


def _record(fields: Mapping[str, Any]) -> Record | None:
    message = _first(fields, _MESSAGE)
    if not isinstance(message, str):
        return None
    time, severity, name = (_first(fields, keys) for keys in (_TIME, _SEVERITY, _NAME))
    traceback = _first(fields, _TRACEBACK)
    return Record(
        message.rstrip("\n"),
        None if time is None else seconds_of(str(time)),
        _severity(severity),
        name if isinstance(name, str) else None,
        origin_in(traceback) if isinstance(traceback, str) else None,
    )


def _first(fields: Mapping[str, Any], keys: tuple[str, ...]) -> object:
    """Return the value of the first key that there is; with a dot, it may be a nested one."""
    for key in keys:
        value: Any = fields
        if key in fields:
            value = fields[key]
        elif "." in key:
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        else:
            continue
        if value is not None and not isinstance(value, dict):
            return value
    return None


def _severity(level: object) -> str | None:
    text = str(level) if isinstance(level, str | int) else ""
    if not text.isdecimal():
        return severity_of(text)
    number = int(text)
    if number < len(_SYSLOG_LEVELS):
        return _SYSLOG_LEVELS[number]
    return next((severity for most, severity in _LEVELS if number <= most), "critical")


JSON = LineFormat("json", _parse_json)
LOGFMT = LineFormat("logfmt", _parse_logfmt)
