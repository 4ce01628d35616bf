"""Web servers: the access and error logs of nginx and Apache. No I/O.

A request is counted by its method, the template of its path and its status, as the middleware does.
"""

import re

from logcommon.cli.formats.record import LineFormat, Record, severity_of
from logcommon.cli.formats.times import seconds_of
from logcommon.messages.templates import template

_ACCESS = re.compile(
    r"(?:\S+ )?\S+ \S+ \S+ \[(?P<time>[^\]]{1,40})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?:\d+|-)(?: .*)?',
    re.DOTALL,
)
_REQUEST = re.compile(r"(?P<method>[A-Z]{2,20}) (?P<path>\S+)(?: HTTP/\d(?:\.\d)?)?")
_NGINX_ERROR = re.compile(
    r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<severity>[a-z]+)\] \d+#\d+: "
    r"(?:\*\d+ )?(?P<message>.*?)(?:, client: .*)?",
    re.DOTALL,
)
_APACHE_ERROR = re.compile(
    r"\[(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:.]+ \d{4})\] "
    r"\[(?:[\w-]*:)?(?P<severity>\w+)\] (?:\[pid [^\]]*\] )?(?P<message>.*)",
    re.DOTALL,
)

_VERSION = re.compile(r"v\d{1,3}")
_LONGEST_PATH = 1024
_MOST_SEGMENTS = 8


def route_of(path: str) -> str:
    """Return a path without its query, and with the segments that are parameters replaced."""
    plain = re.split("[?#;]", path[:_LONGEST_PATH], maxsplit=1)[0]
    segments = plain.split("/", _MOST_SEGMENTS)
    return "/".join(
        segment if _VERSION.fullmatch(segment) else template(segment) for segment in segments
    )


def _parse_access(line: str) -> Record | None:
    match = _ACCESS.fullmatch(line)
    if match is None:
        return None
    time, status = seconds_of(match["time"]), match["status"]
    severity = {"4": "warning", "5": "error"}.get(status[0], "info")

    request = _REQUEST.fullmatch(match["request"])
    if request is None:
        message = f"<invalid request> {status}"
        return Record(message, time, severity, template=message)
    method, path = request["method"], request["path"]
    counted = f"{method} {route_of(path)} {status}"
    return Record(f"{method} {path} {status}", time, severity, template=counted)


def _parse_nginx(line: str) -> Record | None:
    return _parse_access(line) or _parsed(_NGINX_ERROR, line)


def _parse_apache_error(line: str) -> Record | None:
    return _parsed(_APACHE_ERROR, line)


def _parsed(pattern: re.Pattern[str], line: str) -> Record | None:
    match = pattern.fullmatch(line)
    if match is None:
        return None
    severity = severity_of(match["severity"])
    return Record(match["message"], seconds_of(match["time"]), severity)


NGINX = LineFormat("nginx", _parse_nginx)
APACHE = LineFormat("apache", _parse_access)
APACHE_ERROR = LineFormat("apache-error", _parse_apache_error)
