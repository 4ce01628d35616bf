"""The commands that read, as a person or a script uses them."""

import csv
import json
import re
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

import logcommon
from cli.processes import RunCommand, run
from support.clock import HandClock

NASTY = "\x1b[2Jgone \u202e[red]markup[/red]\x7f caf\u00e9"
AN_HOUR = 3600


async def _log(url: str, *, hours_ago: int = 0) -> None:
    async with logcommon.connect(url, clock=lambda: time.time() - hours_ago * AN_HOUR) as log:
        for name, severity, message, count in (
            ("api", "info", "often", 3),
            ("api", "error", NASTY, 2),
            ("web", "info", "once", 1),
        ):
            for _ in range(count):
                log.log_common_nowait(name, message, severity)


def _json(run_command: RunCommand, *arguments: object) -> list[dict[str, Any]]:
    finished = run_command(*arguments, "--json")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.isascii()
    assert finished.stdout.replace("\n", "").isprintable()
    rows: list[dict[str, Any]] = json.loads(finished.stdout)
    return rows


@pytest.mark.parametrize("command", ["top", "recent", "destinations"])
def test_an_empty_server_is_no_error(run_command: RunCommand, command: str) -> None:
    """An empty server suggests the demo; a script gets an empty list."""
    finished = run_command(command)
    assert finished.returncode == 0
    assert "logcommon demo" in finished.stdout
    assert _json(run_command, command) == []


@pytest.mark.parametrize("command", ["top", "recent", "destinations"])
async def test_nothing_that_was_logged_acts_on_the_terminal(
    run_command: RunCommand, valkey_url: str, command: str
) -> None:
    """Control characters and markup of messages and names are shown, not obeyed."""
    async with logcommon.connect(valkey_url) as log:
        await log.log_common("api\x1b[2J", NASTY, "audit\u202e")
    finished = run_command(command)
    assert finished.returncode == 0
    assert finished.stdout.replace("\n", "").isprintable()
    assert r"api\x1b[2J" in finished.stdout
    if command != "destinations":
        assert r"\x1b[2Jgone \u202e[red]markup[/red]\x7f café" in finished.stdout


async def test_top_as_a_table(run_command: RunCommand, valkey_url: str) -> None:
    """The messages of all severities are ranked under a title that names the hour."""
    await _log(valkey_url)
    lines = run_command("top", "api").stdout.splitlines()
    assert re.match(r"api: ....-..-.. ..:00 to ..:00 UTC, the (current|last) hour", lines[0])
    assert re.match(r" *3 .* info +often", lines[3])
    assert re.match(r" *2 .* error +.*gone", lines[4])
    assert len(lines) == 5


@pytest.mark.parametrize("columns", [None, 80])
@pytest.mark.parametrize("command", ["top", "recent", "destinations"])
async def test_tables_in_a_pipe_are_not_padded(
    run_command: RunCommand, valkey_url: str, command: str, columns: int | None
) -> None:
    """No line ends in spaces, and the rule is as long as the header, or fits COLUMNS."""
    async with logcommon.connect(valkey_url) as log:
        for message in ("short", "long " * 60 + "end"):
            await log.log_common("api", message)
    lines = run_command(command, columns=columns).stdout.splitlines()

    assert [line for line in lines if line != line.rstrip()] == []
    if columns:
        assert max(map(len, lines)) <= columns
    else:
        header, rule = lines[1:3]
        assert len(rule) == len(header) < 90
        assert command == "destinations" or any("long end" in line for line in lines)


async def test_top_over_all_services(run_command: RunCommand, valkey_url: str) -> None:
    """Over all services the table names the service of each message."""
    await _log(valkey_url)
    assert "web" not in run_command("top", "api").stdout
    assert re.search(r" 1 .* info +web +once", run_command("top").stdout)


async def test_top_of_one_severity(run_command: RunCommand, valkey_url: str) -> None:
    """A severity may be in any case; one without messages is empty, not an error."""
    await _log(valkey_url)
    rows = _json(run_command, "top", "api", "--severity", "ERROR")
    assert [(row["count"], row["message"]) for row in rows] == [(2, NASTY)]
    finished = run_command("top", "api", "--severity", "debug")
    assert finished.returncode == 0
    assert "nothing was logged" in finished.stdout


async def test_top_as_json(run_command: RunCommand, valkey_url: str) -> None:
    """JSON has raw messages, counts as numbers, and the hour in UTC."""
    await _log(valkey_url)
    first, second = _json(run_command, "top", "-n", 2)
    assert first.pop("hour").endswith(":00:00Z")
    assert 3 / 60 <= first.pop("per_minute") <= 3
    assert first.pop("at_least") >= 1
    assert first == {
        "name": "api",
        "severity": "info",
        "count": 3,
        "message": "often",
        "share": 0.5,
        "bytes": 15,
        "change": "new",
        "history": [*[0] * 23, 3],
        "muted": False,
        "example": None,
        "merged": [],
    }
    assert second["message"] == NASTY


async def test_an_old_hour_is_never_shown_as_the_current_one(
    run_command: RunCommand, valkey_url: str
) -> None:
    """After quiet hours the newest hour with data is shown, with its age."""
    await _log(valkey_url, hours_ago=3)
    output = run_command("top", "api").stdout
    assert re.search(r"[34] hours ago", output)
    assert "often" in output
    for hour in ("current", "last"):
        output = run_command("top", "api", "--hour", hour).stdout
        assert "nothing was logged in" in output
        assert f"the {hour} hour" in output


async def test_the_hour_can_be_chosen(run_command: RunCommand, valkey_url: str) -> None:
    """An hour that `destinations` lists can be given to --hour."""
    await _log(valkey_url, hours_ago=2)
    await _log(valkey_url, hours_ago=1)
    newest, oldest = _json(run_command, "destinations")[0]["hours"]
    rows = _json(run_command, "top", "api", "--hour", oldest.removesuffix(":00:00Z"))
    assert {row["hour"] for row in rows} == {oldest}
    rows = _json(run_command, "top", "api", "--hour", newest)
    assert {row["hour"] for row in rows} == {newest}


async def test_recent(run_command: RunCommand, valkey_url: str) -> None:
    """The newest messages come first, as many as asked for."""
    async with logcommon.connect(valkey_url) as log:
        for number in range(3):
            await log.log_common("api", f"message {number}", "info")
    lines = run_command("recent", "api", "-n", 2).stdout.splitlines()
    assert "newest first" in lines[0]
    assert re.match(r"..:..:.. +info +message 2", lines[3])
    assert re.match(r"..:..:.. +info +message 1", lines[4])
    assert len(lines) == 5


async def test_recent_as_json(run_command: RunCommand, valkey_url: str) -> None:
    """Times in JSON are ISO 8601, in UTC."""
    await _log(valkey_url)
    rows = _json(run_command, "recent")
    assert len(rows) == 6
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["time"])
    assert {row["message"] for row in rows} == {"often", NASTY, "once"}


async def test_destinations(run_command: RunCommand, valkey_url: str) -> None:
    """Each destination is shown with its hours."""
    await _log(valkey_url)
    rows = _json(run_command, "destinations")
    found = [(row["name"], row["severity"], len(row["hours"])) for row in rows]
    assert found == [("api", "error", 1), ("api", "info", 1), ("web", "info", 1)]
    shown = run_command("destinations").stdout
    assert re.search(r"web +info +[01] +1 +1 +the \w+ hour +1", shown)


async def test_calls_of_late(run_command: RunCommand, valkey_url: str) -> None:
    """The current minute is not over; those of the last whole ones are added up."""
    start = time.time()
    for seconds, calls in ((60, 1), (120, 2), (3_000, 4), (30_000, 8), (90_000, 16)):
        async with logcommon.connect(valkey_url, clock=lambda: start - seconds) as log:  # noqa: B023
            for _ in range(calls):
                log.log_common_nowait("api", "m")
    (row,) = _json(run_command, "destinations")
    found = row["last_minute"], row["last_hour"], row["last_day"]
    # A minute may begin between the two.
    assert found in {(1, 7, 15), (0, 7, 15)}


async def test_a_key_of_another_type_is_an_error_of_one_line(
    run_command: RunCommand, valkey_url: str, valkey: Redis
) -> None:
    """A refusal of Redis is one line on stderr, with exit code 1."""
    await _log(valkey_url)
    await valkey.delete("recent:api:info")
    await valkey.set("recent:api:info", "x")
    finished = run_command("recent", "api", "--severity", "info")
    assert finished.returncode == 1
    assert "WRONGTYPE" in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("top", "common:bad:info"),
        ("top", "common:bad:info:start"),
        ("recent", "recent:bad:info"),
        ("destinations", "common:bad:info:pstart"),
    ],
)
async def test_a_key_of_the_wrong_type_hides_no_other_service(
    run_command: RunCommand, valkey_url: str, valkey: Redis, command: str, key: str
) -> None:
    """The others are shown with one warning that names the key; by itself it is an error."""
    async with logcommon.connect(valkey_url) as log:
        for name in ("api", "bad"):
            await log.log_common(name, f"message of {name}")
    await valkey.delete(key)
    await valkey.hset(key, "foreign", "1")
    finished = run_command(command)

    assert finished.returncode == 0
    assert "api" in finished.stdout
    assert finished.stderr.count(key) == 1
    assert finished.stderr.startswith("logcommon: warning: a destination was left out: ")
    if command != "destinations":
        alone = run_command(command, "bad")
        assert (alone.returncode, alone.stdout) == (1, "")
        assert key in alone.stderr


async def test_a_service_of_the_books_with_a_wrong_key_is_found(
    run_command: RunCommand, valkey: Redis
) -> None:
    """An unregistered service whose key can't be read is an error, not an unknown name."""
    await valkey.hset("recent:old:error", "foreign", "1")
    finished = run_command("recent", "old")
    assert finished.returncode == 1
    assert "recent:old:error" in finished.stderr


@pytest.mark.parametrize("command", ["top", "recent"])
async def test_an_unknown_name_is_told_from_one_without_messages(
    run_command: RunCommand, valkey_url: str, command: str
) -> None:
    """The error for an unknown name lists some known names."""
    finished = run_command(command, "api")
    assert (finished.returncode, finished.stdout) == (4, "")
    assert "nor as anything else" in finished.stderr

    async with logcommon.connect(valkey_url) as log:
        for number in range(7):
            log.log_recent_nowait(f"service-{number}", "x")
    finished = run_command(command, "api")
    assert (finished.returncode, finished.stdout) == (4, "")
    assert re.search(r"'api'; there is service-0, .* and 2 more", finished.stderr)

    finished = run_command(command, "service-6", "--severity", "debug")
    assert (finished.returncode, finished.stderr) == (0, "")


async def test_what_the_book_has_written_is_found(run_command: RunCommand, valkey: Redis) -> None:
    """The book's functions register nothing, so an unregistered name may still be known."""
    await valkey.lpush("recent:old:error", f"{time.asctime(time.gmtime())} x")
    await valkey.lpush("recent:odd:audit", "x")
    (row,) = _json(run_command, "recent", "old")
    assert (row["severity"], row["message"]) == ("error", "x")
    (row,) = _json(run_command, "recent", "odd", "--severity", "audit")
    assert (row["severity"], row["message"]) == ("audit", "x")
    finished = run_command("top", "old")
    assert finished.returncode == 0
    assert "nothing was logged" in finished.stdout


async def test_a_score_that_is_no_count_is_shown(run_command: RunCommand, valkey_url: str) -> None:
    """A score of 0 or below, which another program has stored, has a bar as well."""
    await _log(valkey_url)
    async with Redis.from_url(valkey_url) as client:
        await client.zadd("common:web:info", {"once": -1, "never": 0})
    for hour in ("current", "last"):
        finished = run_command("top", "web", "--hour", hour)
        assert finished.returncode == 0


async def _log_templates(url: str) -> None:
    async with logcommon.connect(url, template=logcommon.template) as log:
        for number, user in enumerate(("alice", "bob", "carol")):
            await log.log_common("api", f"user {user} paid order {number}")


async def test_templates_are_merged_unless_told_otherwise(
    run_command: RunCommand, valkey_url: str
) -> None:
    """By default templates that differ in words are one row; `--details` shows which they were."""
    await _log_templates(valkey_url)
    (row,) = _json(run_command, "top", "api")
    assert (row["count"], row["message"]) == (3, "user <*> paid order <num>")
    assert row["example"].startswith("user ")
    assert {each["message"] for each in row["merged"]} == {
        f"user {user} paid order <num>" for user in ("alice", "bob", "carol")
    }
    assert len(_json(run_command, "top", "api", "--no-merge")) == 3

    shown = run_command("top", "api", "--details").stdout
    assert "e.g. user " in shown
    assert "user bob paid order <num>" in shown


def test_explaining_a_message(run_command: RunCommand) -> None:
    """The template comes first, then what each placeholder stands for and why."""
    lines = run_command("explain", "user 7 took 5 ms\x1b[2J").stdout.splitlines()
    assert lines[0] == r"user <num> took <duration>\x1b[<*>"
    assert [line.split()[:2] for line in lines[3:]] == [
        ["<num>", "7"],
        ["<num>", "5"],
        ["<*>", "2J"],
        ["<duration>", "<num>"],
    ]
    assert all(line == line.rstrip() for line in lines)

    assert run_command("explain", "nothing \x07 here").stdout == "nothing \\x07 here\n"
    finished = run_command("explain", "user 7", "--json")
    assert json.loads(finished.stdout) == {
        "template": "user <num>",
        "replacements": [{"text": "7", "placeholder": "<num>", "rule": "a number"}],
    }


async def test_top_by_bytes(run_command: RunCommand, valkey_url: str) -> None:
    """Sorted by what their lines take, one long message comes before many short ones."""
    async with logcommon.connect(valkey_url) as log:
        for message in ("short", "short", "a much longer line " * 9):
            await log.log_common("api", message)
    rows = _json(run_command, "top", "api", "--by", "bytes")
    assert [(row["count"], row["bytes"]) for row in rows] == [(1, 171), (2, 10)]
    assert " 171 B" in run_command("top", "api", "--by", "bytes").stdout
    assert _json(run_command, "top", "api")[0]["message"] == "short"


async def test_top_shows_how_a_message_has_developed(
    run_command: RunCommand, valkey_url: str
) -> None:
    """Of an older hour as well: its change since the hour before, and the counts up to it."""
    for hours_ago, count in ((3, 5), (2, 900), (1, 1)):
        clock = HandClock()
        clock.now = time.time() - hours_ago * AN_HOUR
        async with logcommon.connect(valkey_url, clock=clock) as log:
            for _ in range(count):
                log.log_common_nowait("api", "m")
    newest, *_ = _json(run_command, "destinations")[0]["hours"]
    older = f"{datetime.fromisoformat(newest) - timedelta(hours=1):%Y-%m-%dT%H}"
    (row,) = _json(run_command, "top", "api", "--hour", older)
    assert (row["count"], row["change"], row["per_minute"]) == (900, "rising", 15)
    assert row["history"] == [*[0] * 22, 5, 900]


@pytest.mark.parametrize(
    ("arguments", "header"),
    [
        (("top",), "name,severity,hour,count,message,share,per_minute,bytes,change,at_least"),
        (("recent",), "name,severity,time,message"),
        (("destinations",), "name,severity"),
        (("compare",), "kind,message,before,after,rate_before,rate_after,at_least,first_seen"),
        (("marks",), "time,text"),
        (("explain", "user 7"), "text,placeholder,rule"),
    ],
)
async def test_rows_as_csv(
    run_command: RunCommand, valkey_url: str, arguments: tuple[str, ...], header: str
) -> None:
    """Each row is a line under a header, with nothing that acts on a terminal."""
    await _log(valkey_url)
    run_command("mark", "v1")
    lines = run_command(*arguments, "--csv").stdout.splitlines()
    assert lines[0].startswith(header)
    rows = list(csv.DictReader(lines))
    assert rows
    assert all(None not in row and None not in row.values() for row in rows)
    assert "".join(lines).isprintable()


def test_nothing_as_csv(run_command: RunCommand) -> None:
    """Without rows there is no header either."""
    finished = run_command("top", "--csv")
    assert (finished.returncode, finished.stdout) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(run_command: RunCommand, shell: str) -> None:
    """It asks the program for what can follow."""
    finished = run_command("completion", shell)
    assert finished.returncode == 0
    assert f"_LOGCOMMON_COMPLETE={shell}_complete" in finished.stdout


def test_what_a_shell_completes() -> None:
    """The names of commands and options."""
    asking = {"_LOGCOMMON_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    answer = run("logcommon", url=None, COMP_WORDS="logcommon com", **asking).stdout
    assert answer.split() == ["plain,compare", "plain,completion"]
    asking["COMP_CWORD"] = "2"
    answer = run("logcommon", url=None, COMP_WORDS="logcommon top --j", **asking).stdout
    assert answer.split() == ["plain,--json"]


@pytest.mark.parametrize(
    "command",
    [
        "top",
        "recent",
        "compare",
        "mark",
        "marks",
        "destinations",
        "explain",
        "completion",
        *("ingest", "report", "watch"),
    ],
)
def test_help_has_an_example(run_command: RunCommand, command: str) -> None:
    """Each command shows how it is used."""
    assert re.search(rf"Examples?:\n  .*logcommon {command}", run_command(command, "--help").stdout)
