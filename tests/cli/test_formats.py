"""Line formats: what a line of each says."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon import InvalidArgumentError
from logcommon.cli.formats.chosen import FORMAT_NAMES, LINES, format_named, format_of
from logcommon.cli.formats.record import Record, severity_of
from logcommon.cli.formats.times import seconds_of
from logcommon.cli.formats.web import route_of

AT = datetime(2026, 11, 24, 10, 30, 15, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this computer be in the zone UTC; forget the times that were read in another."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    seconds_of.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    seconds_of.cache_clear()


def parsed(name: str, line: str) -> Record | None:
    return format_named(name).parse(line)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T10:30:15Z",
        "2026-11-24 10:30:15",
        "2026/11/24 10:30:15",
        "2026-11-24 10:30:15 UTC",
        "2026-11-24T12:30:15+0200",
        "2026-11-24 05:30:15 -05:00",
        "24/Nov/2026:11:30:15 +0100",
        "24/Nov/2026 10:30:15",
        "Tue Nov 24 10:30:15 2026",
        "Tue Nov 24 10:30:15.000000 2026",
        "261124 103015",
        "1795516215",
        "1795516215000",
        "1795516215000000",
        "1795516215.0",
    ],
)
def test_times(text: str) -> None:
    """The usual spellings of a time, and numbers of seconds and smaller units, are read."""
    assert seconds_of(text) == AT


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026-13-01 00:00:00", "12345", "Feb 31 00:00:00"),
        *("1969-12-31 23:00:00", "0001-01-01T00:00:00", "9999-12-31 23:30:00"),
    ],
)
def test_what_is_no_time(text: str) -> None:
    """Other text, and times that don't exist, are not read."""
    assert seconds_of(text) is None


def test_fractions_of_a_second() -> None:
    """They may follow a dot or a comma, and be as small as nanoseconds."""
    for text in ("2026-11-24 10:30:15,25", "2026-11-24T10:30:15.250000000Z"):
        assert seconds_of(text) == AT + 0.25


def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in this computer's zone, as programs that write one mean it."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    assert seconds_of("2026-11-24 11:30:15") == AT


def test_a_time_without_a_year_is_not_in_the_future() -> None:
    """It is of the last twelve months, whatever the day is today; 29 February is of a leap year."""
    for days in (0, 1, 30, 180, 363):
        moment = (datetime.now(UTC) - timedelta(days=days)).replace(microsecond=0, tzinfo=None)
        assert seconds_of(f"{moment:%b %e %H:%M:%S}") == moment.timestamp()
    found = seconds_of("Feb 29 00:00:00")
    assert found is not None
    assert time.time() - found < 8.1 * 366 * 86_400


@pytest.mark.parametrize(
    ("words", "severity"),
    [
        (("DEBUG", "trace", "trace8"), "debug"),
        (("INFO", "Notice", "I nfo".replace(" ", ""), "SUCCESS"), "info"),
        (("WARN", "warning"), "warning"),
        (("ERROR", "err", "SEVERE"), "error"),
        (("CRITICAL", "fatal", "EMERG", "alert", "panic"), "critical"),
        (("Custom",), "custom"),
        (("", None), None),
    ],
)
def test_severities(words: tuple[str | None, ...], severity: str | None) -> None:
    """The words of many programs mean one of the standard severities; others are kept."""
    assert {severity_of(word) for word in words} == {severity}


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        (
            "syslog",
            "2026-11-24T10:30:15.000000+00:00 web sshd[17]: Failed password for root",
            Record("Failed password for root", AT, None, "sshd"),
        ),
        (
            "syslog",
            "<11>2026-11-24T10:30:15Z web app: it broke",
            Record("it broke", AT, "error", "app"),
        ),
        (
            "syslog",
            '<165>1 2026-11-24T10:30:15Z web app 1 ID47 [a@1 b="c\\"]"][d] \ufeffstarted',
            Record("started", AT, "info", "app"),
        ),
        ("syslog", "<34>1 - - - - - - no time", Record("no time", None, "critical", None)),
        ("syslog", "2026-11-24T10:30:15Z web no tag", Record("no tag", AT, None, None)),
        ("syslog", "2026-11-24T10:30:15Z INFO app: started", None),
        ("syslog", "hello", None),
        (
            "nginx",
            '10.0.0.7 - bob [24/Nov/2026:10:30:15 +0000] "GET /a/17?x=1 HTTP/1.1" 200 5 "-" "c"',
            Record("GET /a/17?x=1 200", AT, "info", None, "GET /a/<num> 200"),
        ),
        (
            "nginx",
            "2026/11/24 10:30:15 [crit] 7#9: *45 open() failed (2: No such file), client: 10.0.0.7",
            Record("open() failed (2: No such file)", AT, "critical"),
        ),
        (
            "apache",
            'shop:80 10.0.0.7 - - [24/Nov/2026:10:30:15 +0000] "POST /a HTTP/2" 503 -',
            Record("POST /a 503", AT, "error", None, "POST /a 503"),
        ),
        (
            "apache",
            '10.0.0.7 - - [24/Nov/2026:10:30:15 +0000] "\\x16\\x03" 400 0',
            Record("<invalid request> 400", AT, "warning", None, "<invalid request> 400"),
        ),
        ("apache", "10.0.0.7 said hello", None),
        (
            "apache-error",
            "[Tue Nov 24 10:30:15 2026] [notice] workerEnv.init() ok",
            Record("workerEnv.init() ok", AT, "info"),
        ),
        (
            "apache-error",
            "[Tue Nov 24 10:30:15.000000 2026] [core:warn] [pid 1:tid 2] AH00098: overwritten",
            Record("AH00098: overwritten", AT, "warning"),
        ),
        (
            "python",
            "2026-11-24 10:30:15,000 - shop.db - ERROR - no rows",
            Record("no rows", AT, "error", "shop.db"),
        ),
        (
            "python",
            "2026-11-24 10:30:15,000 INFO shop.db: 3 rows",
            Record("3 rows", AT, "info", "shop.db"),
        ),
        (
            "python",
            "2026-11-24 10:30:15 WARNING [shop.db] slow",
            Record("[shop.db] slow", AT, "warning"),
        ),
        (
            "python",
            "2026-11-24 10:30:15 - INFO - worker - started",
            Record("started", AT, "info", "worker"),
        ),
        (
            "python",
            "2026-11-24 10:30:15,000 INFO Failed: try again",
            Record("Failed: try again", AT, "info"),
        ),
        (
            "python",
            "2026-11-24 10:30:15.000 | INFO     | shop.db:load:12 - 3 rows",
            Record("3 rows", AT, "info", "shop.db"),
        ),
        (
            "python",
            "[2026-11-24 10:30:15 +0000] [17] [INFO] Booting worker",
            Record("Booting worker", AT, "info"),
        ),
        (
            "python",
            "[2026-11-24 10:30:15,000: WARNING/MainProcess] late",
            Record("late", AT, "warning"),
        ),
        (
            "python",
            "[2026-11-24 10:30:15,000] ERROR in app: it broke",
            Record("it broke", AT, "error", "app"),
        ),
        (
            "python",
            "2026-11-24 10:30:15.000 25746 INFO nova.api.wsgi [-] done",
            Record("[-] done", AT, "info", "nova.api.wsgi"),
        ),
        (
            "python",
            "2026-11-24 10:30:15,000 - WARN  [Worker:1@662] - it left",
            Record("it left", AT, "warning"),
        ),
        ("python", "2026-11-24 10:30:15 the error was found", Record("the error was found", AT)),
        ("python", "WARNING:root:careful", Record("careful", None, "warning", "root")),
        ("python", "INFO:     Uvicorn is running", Record("Uvicorn is running", None, "info")),
        ("python", "2026-11-24 10:30:15", None),
        ("python", "  File x", None),
        (
            "json",
            '{"time": "2026-11-24T10:30:15Z", "level": "WARN", "logger": "db", "msg": "slow"}',
            Record("slow", AT, "warning", "db"),
        ),
        (
            "json",
            '{"@timestamp": 1795516215000, "log": {"level": "error"}, "msg": "x", "service": {}}',
            Record("x", AT, "error"),
        ),
        ("json", '{"level": 50, "msg": "x", "name": "api"}', Record("x", None, "error", "api")),
        ("json", '{"PRIORITY": "4", "MESSAGE": "x"}', Record("x", None, "warning")),
        ("json", '{"level": 60, "event": "x"}', Record("x", None, "critical")),
        ("json", '{"level": true, "log": "x\\n"}', Record("x", None, "true")),
        ("json", '{"level": null, "message": 5}', None),
        ("json", '{"level": "info"', None),
        ("json", "[1]", None),
        ("json", "[" * 100_000, None),
        (
            "logfmt",
            'time=2026-11-24T10:30:15Z level=info msg="user \\"bob\\" left" name=api',
            Record('user "bob" left', AT, "info", "api"),
        ),
        ("logfmt", r'level=info msg="a \q"', Record(r"a \q", None, "info")),
        ("logfmt", "level=info msg=", Record("", None, "info")),
        ("logfmt", "msg=alone", None),
        ("logfmt", "user bob left a=b c=d", None),
        ("lines", "anything", Record("anything")),
        (
            r"(?P<time>\d{6} \d{6}) (?P<severity>\w+) (?P<name>\w+): (?P<message>.*)",
            "261124 103015 WARN dfs: late",
            Record("late", AT, "warning", "dfs"),
        ),
        (r"\d+ (?P<message>.*)", "12 monkeys", Record("monkeys")),
        (r"\d+ (?P<message>.*)", "monkeys", None),
    ],
)
def test_formats(name: str, line: str, expected: Record | None) -> None:
    """Each format finds the time, severity, name and message of its lines, and only of those."""
    assert parsed(name, line) == expected


def test_an_exception_in_a_field() -> None:
    """A traceback that JSON carries along counts by its type and place."""
    line = (
        '{"event": "it broke", "exception": "Traceback (most recent call last):\\n'
        '  File \\"/srv/shop/db.py\\", line 41, in load\\n    run()\\nValueError: 7"}'
    )
    assert parsed("json", line) == Record("it broke", template="ValueError at shop/db.py:41")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/orders/17/items", "/orders/<num>/items"),
        ("/api/v2/users/7f3e2a455940aabb?page=2#top", "/api/v2/users/<hex>"),
        ("/static/app.3f2a.js", "/static/<*>"),
        ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/<path>"),
    ],
)
def test_routes(path: str, route: str) -> None:
    """Segments with parameters are replaced, and the query is left out."""
    assert route_of(path) == route


@pytest.mark.parametrize("name", ["sysllog", "(", r"(?P<message>.*)(?P<host>.*)"])
def test_a_format_that_can_not_be_used(name: str) -> None:
    """It is refused, and the error names those that there are or what is wrong."""
    with pytest.raises(InvalidArgumentError, match=r"auto, json|invalid: missing"):
        format_named(name)


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["2026-11-24T10:30:15Z web sshd[17]: hello"], "syslog"),
        (['{"msg": "x"}', "", "not JSON"], "json"),
        (["level=info msg=x"], "logfmt"),
        (["[Tue Nov 24 10:30:15 2026] [notice] x"], "apache-error"),
        (['1.1.1.1 - - [24/Nov/2026:10:30:15 +0000] "GET / HTTP/1.1" 200 1'], "nginx"),
        (["2026-11-24 10:30:15,000 INFO x", *["  more"] * 9], "python"),
        (["2026-11-24 10:30:15,000 INFO x", *["  more"] * 10], None),
        (["hello", "world"], None),
        ([], None),
        (["", " "], None),
    ],
)
def test_recognizing(lines: list[str], name: str | None) -> None:
    """The format is the one that fits most of the lines, or enough if records have many lines."""
    found = format_of(lines)
    assert (found and found.name) == name


@given(st.sampled_from([each for each in FORMAT_NAMES if each != "auto"]), st.text())
def test_any_line_can_be_parsed(name: str, line: str) -> None:
    """No line makes a format raise."""
    record = format_named(name).parse(line)
    assert record is None or isinstance(record.message, str)
    assert name != LINES.name or record == Record(line)


@pytest.mark.parametrize("name", [each for each in FORMAT_NAMES if each != "auto"])
def test_long_lines_are_parsed_in_linear_time(name: str) -> None:
    """A line of a hundred thousand characters does not take hours, whatever it repeats."""
    for unit in (
        "a",
        " ",
        "[",
        '"',
        '\\"',
        "a=",
        'a="',
        "a.",
        "1",
        "<1>1 ",
        "- ",
        "| ",
        "{",
        "2026-11-24 10:30:15 ",
    ):
        format_named(name).parse(unit * (100_000 // len(unit)))
        format_named(name).parse("2026-11-24 10:30:15 " + unit * (100_000 // len(unit)))
