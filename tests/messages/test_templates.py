"""Templates: what is replaced in a message, and what stays."""

import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logcommon import InvalidArgumentError, Templates, template
from logcommon.messages.templates import LONGEST


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("cache miss", "cache miss"),
        ("", ""),
        ("   ", ""),
        ("user 4711 logged in", "user <num> logged in"),
        ("took 3.5 s, or 1,234,567 ms", "took <duration>, or <duration>"),
        ("took 15ms (1m30s in all)", "took <duration> (<duration> in all)"),
        (
            "read 5.2 KB of 3 MiB, 99% done, 5 % left",
            "read <size> of <size>, <num> done, <num> % left",
        ),
        ("sent 512 bytes, 4kB free", "sent <size> free"),
        ("refused 10.0.0.7:6379", "refused <ip>"),
        ("from /10.10.34.11:45307 via 2001:db8::1", "from <ip> via <ip>"),
        ("job 0b2f8f7e-5b1c-4f0e-9d0a-1f5e8a3b2c4d: done", "job <uuid>: done"),
        ("at 0x7fed806eb5d of deadbeefdeadbeef", "at <hex> of <hex>"),
        ("GET https://example.org/a?b=1 failed", "GET <url> failed"),
        ("mail to jane.doe@example.org.", "mail to <email>."),
        ("opened /var/log/app.log", "opened <path>"),
        (r"loaded C:\Windows\x.dll now", "loaded <path> now"),
        ("and/or: I/O error", "and/or: I/O error"),
        ("at 2026-11-25 07:53:50,123 exactly", "at <date> exactly"),
        ("at Sun Jul 10 03:55:15 2005", "at <date>"),
        ("on 3 March 2026 it may rain", "on <date> it may rain"),
        ("unknown column 'price' in \"field list\"", "unknown column <quoted> in <quoted>"),
        ("it's what we don't know", "it's what we don't know"),
        ('level=warn msg="disk is full" disk=sda', "level=<*> msg=<*> disk=<*>"),
        ("ready = true, retries= 3", "ready = <*>, retries= <num>"),
        ("if a == b or c => d", "if a == b or c => d"),
        ("logname= uid=0 rhost=", "logname= uid=<*> rhost="),
        ("flags a=b=c,d=e x=,y=3 z=(,", "flags a=<*>,d=<*> x=,y=<*> z=(,"),
        ('said "user <num>" again', 'said "user <num>" again'),
        ("jk2_init() found a.b2c(): x2(3)", "jk2_init() found a.b2c(): <*>(<num>)"),
        ("db.example.org:5432 is down, b.py:7 too", "<*> is down, b.py:<num> too"),
        ("java.net.ConnectException:5 x", "java.net.ConnectException:<num> x"),
        ("Card_B43::sync: on; std::x=5", "Card_B43::sync: on; std::x=<*>"),
        ("deleting blk_1 blk_-2 blk_3", "deleting <*>"),
        ("ports 80, 443, 8080 open", "ports <num> open"),
        ("peer 10.0.0.1 (db-1.example.org)", "peer <ip> (<*>)"),
        ("peer 10.0.0.1 ()", "peer <ip> (<*>)"),
        ("init() ok", "init() ok"),
        ("java.net.ConnectException: refused", "java.net.ConnectException: refused"),
        ("GET /orders/17 200", "GET <path> 200"),
        ('"GET /a HTTP/1.1" 404 153', '"GET <path> HTTP/1.1" 404 <num>'),
        ("HTTP 503 from 10.0.0.1", "HTTP 503 from <ip>"),
        ("order 00012345 shipped", "order <*> shipped"),
        ("token=<redacted> for bob", "token=<redacted> for bob"),
        ("x" * 300, "<*>"),
        ("a\tb\n c", "a b c"),
    ],
)
def test_template(message: str, expected: str) -> None:
    """Parameters become placeholders that say what they stand for, and the words stay."""
    assert template(message) == expected


pieces = st.sampled_from(
    [
        *("user", "7", "-3.5", "KB", "ms", "%", "Jul", "May,", "Sun", "10:20:30", "2026-11-25"),
        *("10.0.0.1", "10.0.0.1:80", "a=b", "a=", "=", "==", "key:", "key:5", "()", "(", ")", "["),
        *("'a b'", '"', "'", "`", ",", ";", ".", "...", "<num>", "<*>", "<quoted>", "<x>", "<"),
        *(">", "/", "/a/b", "C:\\x", "a@b.c", "a.b.C", "a.b.c", "GET", '"GET', "200", "HTTP/1.1"),
        *(
            "0x1f",
            "1d",
            "1e5",
            "::",
            "a::b",
            "{a:1,b=2}",
            "\u00e9",
            "\u0130",
            "\u0663",
            "=<quoted>",
        ),
    ]
)
text = st.lists(st.one_of(pieces, st.text(max_size=4)), max_size=12)
messages = st.one_of(
    st.text(),
    st.builds(" ".join, text),
    st.builds("".join, text),
)


@given(messages)
@example("':' :0")
@example("()" * 3)
def test_a_template_is_its_own_template(message: str) -> None:
    """A message that was replaced already, by another service, is counted as the same."""
    once = template(message)
    assert template(once) == once


@given(messages)
def test_a_template_is_bounded(message: str) -> None:
    """A template is at most five times as long as its message, and never above the limit."""
    assert len(template(message)) <= min(5 * len(message), LONGEST)


@given(messages)
def test_explaining_gives_the_same_template(message: str) -> None:
    """What `explain` shows is what is counted, and every placeholder has a rule."""
    explained = Templates().explain(message)
    assert explained.template == template(message)
    assert all(each.rule and each.placeholder for each in explained.replacements)


def test_a_long_message_is_cut_between_words() -> None:
    """What is too long to be read is cut where a word ends, and says so."""
    cut = template("disk full " * 1000)
    assert len(cut) <= LONGEST
    assert cut.endswith((" disk…", " full…"))
    assert template("1 x " * 1500 + "end") == template("2 x " * 1500)
    assert template(cut) == cut


def test_templates_do_not_depend_on_the_process() -> None:
    """Processes with other hash seeds find the same template."""
    message = "user 7 from 10.0.0.1 read 5 KB of /a/b in 3 ms at Jul 10 10:20:30"
    code = f"import logcommon; print(logcommon.template({message!r}))"
    found = {
        subprocess.run(  # our own code
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert found == {template(message) + "\n"}


def test_a_known_word_is_replaced_as_when_it_was_new() -> None:
    """The words that are remembered are bounded, and forgetting them changes nothing."""
    templates = Templates()
    for number in range(40_000):
        assert templates(f"job j{number} done") == "job <*> done"
    assert templates("job j1 done") == "job <*> done"


def test_kinds_can_be_switched_off() -> None:
    """A kind that is off stays as it is, and is not taken for another."""
    assert Templates(off=["num"])("42 of 0x2a") == "42 of <hex>"
    assert Templates(off=["quoted"])("no 'x y' 7") == "no 'x y' <num>"
    assert Templates(off=["*"])("a=b id-7 1.2") == "a=b id-7 <num>"


def test_kinds_of_ones_own_come_first() -> None:
    """A word that matches a pattern of one's own gets that placeholder."""
    templates = Templates(own={"order": r"ORD-\d+", "fruit": "apple|pear"})
    assert templates("ORD-17: 3 apple") == "<order>: <num> <fruit>"
    assert templates("<order>: <fruit>") == "<order>: <fruit>"
    assert templates.explain("ORD-17")[1] == [("ORD-17", "<order>", r"matches ORD-\d+")]


def test_pinned_messages_are_never_changed() -> None:
    """A pinned message is its own template."""
    templates = Templates(pinned=["error 17"])
    assert templates("error 17") == "error 17"
    assert templates("error 18") == "error <num>"
    assert templates.explain("error 17") == ("error 17", [])


@pytest.mark.parametrize(
    "options",
    [
        {"off": ["number"]},
        {"own": {"num": "x"}},
        {"own": {"Order": "x"}},
        {"own": {"order": "("}},
        {"own": {"order": "(x)"}},
        {"own": {"order": "x*"}},
    ],
)
def test_wrong_rules_are_refused(options: dict[str, object]) -> None:
    """An unknown kind, or an unusable name or pattern, is an error at once."""
    with pytest.raises(InvalidArgumentError):
        Templates(**options)  # type: ignore[arg-type]


def test_explain_names_the_rule() -> None:
    """Each replacement says what was replaced, by which placeholder and why."""
    explained = Templates().explain("user=bob read 5 KB of 'a b', status 200")
    assert explained.template == "user=<*> read <size> of <quoted>, status <num>"
    assert ("bob", "<*>", "the value after =") in explained.replacements
    assert ("'a b'", "<quoted>", "text in quotes") in explained.replacements
    assert ("5", "<num>", "a number") in explained.replacements
