"""Secrets in common shapes."""

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from logcommon.messages.redaction import REDACTED, redact_secrets
from support.logged import CUT, LEAKS, ORDINARY, Leak


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer <redacted>"),
        (
            "sent {'authorization': 'Basic dXNlcjpwdw=='}",
            "sent {'authorization': 'Basic <redacted>'}",
        ),
        ("login failed, password=hunter2, user=bob", "login failed, password=<redacted>, user=bob"),
        ('{"db_password": "a b c", "n": 1}', '{"db_password": <redacted>, "n": 1}'),
        ("GET /?api_key=k1&page=2", "GET /?api_key=<redacted>&page=2"),
        ("client-secret: 's 3'", "client-secret: <redacted>"),
        ("redis://bob:hunter2@host:6379/0 is away", "redis://bob:<redacted>@host:6379/0 is away"),
        ("jwt eyJhbGci.eyJzdWIi.c2ln expired", "jwt <redacted> expired"),
        ("key ghp_0123456789abcdef0123456789ABCDEF01 used", "key <redacted> used"),
        ("card 4111 1111 1111 1111 declined", "card <redacted> declined"),
        ("card 4111-1111-1111-1111", "card <redacted>"),
    ],
)
def test_a_secret_is_taken_out(message: str, redacted: str) -> None:
    """The secret goes and its name stays, so messages that differ only in it count as one."""
    assert redact_secrets(message) == redacted


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.line[:40])
def test_no_secret_is_left_in_a_line(leak: Leak) -> None:
    """The secret goes, and the text around it stays."""
    redacted = redact_secrets(leak.line)
    assert leak.secret in leak.line
    assert leak.secret not in redacted
    assert REDACTED in redacted
    assert [text for text in leak.stays if text not in redacted] == []


@pytest.mark.parametrize(("line", "left"), CUT)
def test_no_first_half_of_a_secret_is_left(line: str, left: str) -> None:
    """A message is cut before it is redacted, so the end of a secret may be missing."""
    assert line.endswith(left) or left in line
    assert left not in redact_secrets(line)


@pytest.mark.parametrize("line", ORDINARY)
def test_an_ordinary_line_stays(line: str) -> None:
    """Nothing else is changed: not hashes, ids or invalid card numbers."""
    assert redact_secrets(line) == line


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.line[:40])
def test_what_is_redacted_stays_as_it_is(leak: Leak) -> None:
    """A line that is redacted again, by another service, is counted as the same message."""
    once = redact_secrets(leak.line)
    assert redact_secrets(once) == once


around = st.text("abcxyz .,\u00e9\u0130", max_size=20)


@given(around, st.sampled_from(LEAKS), around)
def test_a_secret_is_found_wherever_it_stands(before: str, leak: Leak, after: str) -> None:
    """Text around a line does not hide the secret in it."""
    assume(leak.secret not in before + after)
    assert leak.secret not in redact_secrets(f"{before} {leak.line} {after}")


UNITS = [
    *(
        "a",
        "1",
        " ",
        "\\",
        '"',
        "'",
        "://",
        "://a:",
        "@",
        "a:",
        "=",
        "<",
        "password=",
        "token ",
        "--",
    ),
    *(
        "cookie:",
        "cookie: a=b;",
        "bearer ",
        "-----BEGIN ",
        "sk-",
        "ghp_",
        "eyJa.",
        "1234 ",
        "4111-",
    ),
    *("mysql -", "-u a", "sig=", "a/", "a-", "aB1", "\u0130", 'password=\\"', "<password ", ":AA"),
    *("login a ", "[", "password=)", "password: <", "://a:b", 'secret="', "1//0", "api/webhooks/1"),
]
"""Repeated in a hostile message, these could make a pattern start many times and fail late."""


@pytest.mark.parametrize("unit", [*UNITS, *map("".join, zip(UNITS, UNITS[7:], strict=False))])
def test_time_is_in_proportion_to_the_length(unit: str) -> None:
    """A message 16 times as long takes about 16 times the time, not the square of that, 256."""

    def seconds(length: int) -> float:
        message = unit * (length // len(unit))
        taken = []
        for _ in range(3):
            started = time.process_time()
            redact_secrets(message)
            taken.append(time.process_time() - started)
        return min(taken)

    assert seconds(16 * 2_000) < 80 * seconds(2_000)


@given(st.text())
def test_redacting_twice_changes_nothing_more(message: str) -> None:
    """No message raises, and a second redaction removes no mark of the first."""
    once = redact_secrets(message)
    assert redact_secrets(once).count(REDACTED) >= once.count(REDACTED)


@given(st.from_regex(r"Q9[A-Za-z0-9]{6,22}", fullmatch=True))
def test_the_secret_is_gone(secret: str) -> None:
    """The value of a password is nowhere in the message."""
    assert secret not in redact_secrets(f"cannot connect: password={secret} refused-it")
