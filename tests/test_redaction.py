"""Secrets in common shapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon.redaction import REDACTED, redact_secrets


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
    """The secret goes, and what says where it stood remains, so that messages still coalesce."""
    assert redact_secrets(message) == redacted


@pytest.mark.parametrize(
    "message",
    [
        "payment declined for order 12345678: the issuer did not respond",
        "order 4111111111111112 shipped",
        "GET /products/1 200 in 35 ms",
        "tokens left: none",
        "at 2026-11-23T21:10:58.123456",
        "user logged in with a password",
        "GET /api/v1/customers/12345/orders/67890/items 200",
        "request 6f1b6e0c-2f1e-4c8e-9d8b-0a4f5d2c7e11 took 3 ms",
        "an-ordinary-but-very-long-hyphenated-word-of-letters",
    ],
)
def test_an_ordinary_message_stays(message: str) -> None:
    """What looks like no secret is left alone, an invalid card number among it."""
    assert redact_secrets(message) == message


@given(st.text())
def test_redacting_twice_changes_nothing_more(message: str) -> None:
    """Whatever the message, it does not raise, and a redacted message is stable."""
    once = redact_secrets(message)
    assert redact_secrets(once).count(REDACTED) >= once.count(REDACTED)


@given(st.from_regex(r"Q9[A-Za-z0-9]{6,22}", fullmatch=True))
def test_the_secret_is_gone(secret: str) -> None:
    """No part of the message still holds the value of a password."""
    assert secret not in redact_secrets(f"cannot connect: password={secret} refused-it")
