"""Changes are sent to HTTP targets that are slow, fail, and come back; none holds up another."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from logcommon import Change, Destination, InvalidArgumentError
from logcommon.notifier import Notifier, body_of, title_of
from support.targets import Target, http_target
from support.until import until

NOON = datetime(2026, 5, 27, 12, tzinfo=UTC)
SOON = 0.001


def change(message: str = "payment <num> declined", example: str | None = None) -> Change:
    return Change(
        kind="rising",
        message=message,
        destination=Destination("shop", "error"),
        before=10,
        after=90,
        rate_before=10.0,
        rate_after=1_800.0,
        at_least=65.44,
        first_seen=NOON,
        last_seen=NOON,
        example=example,
    )


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that answers at once."""
    with http_target() as target:
        yield target


@pytest.fixture
def other() -> Iterator[Target]:
    """Another one."""
    with http_target() as target:
        yield target


def test_what_a_person_reads() -> None:
    """The title is one short line; the text has the rates and an example."""
    assert title_of(change("declined\nby\tbank")) == "rising in shop (error): declined by bank"
    assert len(title_of(change("x" * 500))) == 120
    assert body_of(change(example="payment 17 declined")).splitlines() == [
        "payment <num> declined",
        "1,800 calls an hour, 10 before: at least 65.4 times",
        "for example: payment 17 declined",
    ]
    assert len(body_of(change("x" * 9_999, "y" * 9_999))) < 2_200


def test_a_change_arrives(target: Target, other: Target) -> None:
    """At every target, before `close` returns, as plain text."""
    notifier = Notifier([target.url, other.url])
    notifier.send(change("<script>\\n"))
    assert notifier.close(30) == 0
    for each in (target, other):
        (received,) = each.received
        assert received["title"] == "rising in shop (error): <script>\\n"
        assert received["message"].startswith("<script>\\n\n1,800 calls an hour")


async def test_a_target_that_fails_and_comes_back(target: Target) -> None:
    """It is tried again, so that nothing is lost, and in order."""
    target.failing = 3
    notifier = Notifier([target.url], pause=SOON)
    notifier.send(change("first"))
    notifier.send(change("second"))
    await until(lambda: len(target.received) == 2)
    assert target.attempts == 5
    assert [each["message"].splitlines()[0] for each in target.received] == ["first", "second"]
    assert notifier.close(30) == 0


async def test_a_target_that_stays_away(
    target: Target, other: Target, caplog: pytest.LogCaptureFixture
) -> None:
    """After four attempts a warning names the target, without its URL; the next change is sent."""
    other.failing = 4
    notifier = Notifier([target.url, other.url], pause=SOON)
    notifier.send(change("lost"))
    notifier.send(change("kept"))
    await until(lambda: other.received and len(target.received) == 2)
    assert other.received[0]["message"].startswith("kept")
    assert notifier.close(30) == 1
    logged = [each.getMessage() for each in caplog.records if each.name == "logcommon"]
    assert logged == ["target 2: a change could not be delivered"]


async def test_a_slow_target_holds_up_no_other(
    target: Target, other: Target, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets what fits into its queue, and closing doesn't wait for it."""
    other.answers.clear()
    notifier = Notifier([target.url, f"{other.url}?rto=60"])
    notifier.send(change())
    await until(lambda: other.attempts)
    for sent in range(2, 103):
        notifier.send(change())
        await until(lambda: len(target.received) == sent)  # noqa: B023  # called at once
    assert "target 2: too slow, so a change was not sent" in caplog.text
    # It may not know yet that the last one was delivered to the other target.
    assert notifier.close(0) in {101, 102}

    other.answers.set()
    await until(lambda: len(other.received) == 101)


async def test_closing_ends_the_pause(target: Target) -> None:
    """What has failed is not sent again while the process ends."""
    target.failing = 1
    notifier = Notifier([target.url], pause=3_600)
    notifier.send(change())
    await until(lambda: target.attempts == 1)
    assert notifier.close(30) == 1
    assert target.attempts == 1


def test_a_url_that_apprise_does_not_know() -> None:
    """It is refused without being shown, as there may be a password in it."""
    with pytest.raises(InvalidArgumentError, match=r"^target 2 is no URL that apprise knows$"):
        Notifier(["json://localhost", "nothing://user:hunter2@host"])


def test_without_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it; other missing modules are shown as they are."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ImportError, match="pip install 'apprise"):
        Notifier(["json://localhost"])
