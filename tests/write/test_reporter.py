"""What users learn about the writing: each event in its number, and warnings that don't repeat."""

from functools import partial
from pathlib import Path

import pytest
import redis.exceptions
from redis.exceptions import AuthenticationError, ResponseError

from logcommon.stats import Outcome
from logcommon.write.history import Loss, Summary
from logcommon.write.spool import Damage
from support.writing import batch_of, reporter_of


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (ResponseError("NOPERM"), "refusals"),
        (AuthenticationError("WRONGPASS"), "refusals"),  # for redis-py it is a ConnectionError
        (TimeoutError(), "timeouts"),
        (redis.exceptions.TimeoutError("slow"), "timeouts"),
        (redis.exceptions.ConnectionError("reset"), "lost_connections"),
        (OSError("no route"), "lost_connections"),
    ],
)
def test_a_fault_is_counted_as_what_it_is(error: Exception, field: str) -> None:
    """A refusal, a time-out and a lost connection each have a number of their own."""
    reporter = reporter_of()
    reporter.fault(error)
    ledger = reporter.ledger
    counted = {name: getattr(ledger, name) for name in ("refusals", "timeouts", "lost_connections")}
    assert counted == {**dict.fromkeys(counted, 0), field: 1}
    assert type(error).__name__ in str(ledger.last_error)


def test_a_repeated_fault_is_counted_and_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """While Redis is away, the number grows and the log of the application does not."""
    reporter = reporter_of()
    for _ in range(3):
        reporter.fault(redis.exceptions.ConnectionError("reset"))
    assert reporter.ledger.lost_connections == 3
    assert len(caplog.messages) == 1


def test_a_good_outcome_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is warned of, and the last error stays the last."""
    reporter = reporter_of()
    reporter.ledger.last_error = "before"
    reporter.outcome(Outcome(counted=1, other=1, late=1))
    assert (caplog.messages, reporter.ledger.last_error) == ([], "before")


def test_an_outcome_warns_of_each_thing_that_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    """A refused key, an hour that is too old and a clock ahead are three warnings."""
    reporter = reporter_of(history_hours=7)
    reporter.outcome(Outcome(failure="WRONGTYPE", too_late=2, ahead=3, lead=90.4))
    refused, too_late, ahead = caplog.messages
    assert "WRONGTYPE" in refused
    assert "2 entries" in too_late
    assert "7 hours" in too_late
    assert "90 seconds" in ahead
    assert "3 entries" in ahead
    assert reporter.ledger.last_error == "WRONGTYPE"


def test_a_loss_says_what_is_replayed_and_what_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """Only commits that can't be written again count as lost."""
    reporter = reporter_of()
    gone = Summary(number=1, commits=1, counted=4, other=1, late=0, ahead=0)
    reporter.loss(Loss(batches=[batch_of(3)], gone=[gone], unknown_commits=1))
    assert reporter.ledger.lost_commits == 2
    (message,) = caplog.messages
    assert "lost 3 acknowledged commits" in message
    assert "replaying 1 of them; 5 entries are lost" in message


def test_a_loss_of_nothing_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """A marker that went back over no commit of ours is no news."""
    reporter = reporter_of()
    reporter.loss(Loss())
    assert (caplog.messages, reporter.ledger.lost_commits) == ([], 0)


def test_a_damaged_spool_keeps_the_account_even(caplog: pytest.LogCaptureFixture) -> None:
    """Calls that can't be read enter as recovered and leave as unwritten, in doubt."""
    reporter = reporter_of()
    reporter.damaged_spool(Damage(Path("spool.damaged"), lines=1, calls=5), recovered=2)
    ledger = reporter.ledger
    assert (ledger.recovered, ledger.dropped_unwritten, ledger.in_doubt) == (5, 5, 5)
    assert "spool.damaged" in caplog.text


def test_drops_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """The cancelled writer and the calls dropped because of it are one event."""
    reporter = reporter_of()
    reporter.cancelled_writer()
    reporter.dropped_calls()
    assert len(caplog.messages) == 1


def test_steps_and_amounts_are_taken_together() -> None:
    """What leaves the backlog and what enters the ledger change in one call."""
    reporter, left = reporter_of(), ["batch"]
    reporter.add(partial(left.pop), counted=2, other=1)
    assert (left, reporter.ledger.counted, reporter.ledger.other) == ([], 2, 1)
