"""What the marker shows, and what is done about it."""

import pytest
from redis.exceptions import ResponseError

from logcommon.schema.rotation import HourState
from logcommon.settings import Settings
from logcommon.stats import Outcome
from logcommon.write.commit import Commit
from logcommon.write.progress import Progress
from logcommon.write.reporter import Reporter
from logcommon.write.watch import MARKER_SECONDS, Marker, Watched
from support.clock import NOON
from support.writing import API, API_NOON, batch_of, reporter_of

NOTHING_THERE = HourState(None, None)


def progress_of(reporter: Reporter) -> Progress:
    progress = Progress(Settings(), reporter, "ours", {"ours", "before"})
    progress.switch_producer("p")
    return progress


def watched(marker: Marker | None, state: HourState = NOTHING_THERE) -> Watched:
    return Watched(marker, {API: state}, {API: 0}, server_time=0.0)


def commit_up_to(progress: Progress, last: int) -> None:
    """Record that batches 1 to `last`, of one call each, are in Redis."""
    for number in range(1, last + 1):
        progress.begin(batch_of(number))
        progress.acknowledged = Marker(number, 1, "ours")
        assert progress.finish(progress.next(), Outcome(counted=1), now=0.0)


def next_after(progress: Progress, marker: Marker, state: HourState, now: float) -> tuple[int, ...]:
    """Return the numbers in the next commit once this marker is found before batch 4."""
    progress.begin(batch_of(4))
    progress.adjust(progress.next(), marker, watched(marker, state), now)
    return tuple(part.number for part in progress.next().parts)


def test_a_marker_that_went_back_means_a_loss() -> None:
    """What is above it is written again, before the next batch, and is pending meanwhile."""
    reporter = reporter_of()
    progress = progress_of(reporter)
    commit_up_to(progress, 3)
    assert next_after(progress, Marker(1, 1, "ours"), HourState(NOON, None), now=1) == (2, 3)
    assert reporter.ledger.replaying == 2


def test_all_was_lost_if_the_hours_are_gone_too() -> None:
    """Without a marker and without hours, Redis is empty: everything held is written again."""
    progress = progress_of(reporter_of())
    commit_up_to(progress, 3)
    assert next_after(progress, Marker(), NOTHING_THERE, now=1) == (1, 2, 3)


def test_a_marker_that_was_evicted() -> None:
    """If the hours are still there, nothing is written twice, and the commits count as lost."""
    reporter = reporter_of()
    progress = progress_of(reporter)
    commit_up_to(progress, 3)
    assert next_after(progress, Marker(), HourState(NOON, None), now=1) == (4,)
    assert (reporter.ledger.lost_commits, reporter.ledger.replaying) == (3, 0)


def test_a_marker_that_has_expired(caplog: pytest.LogCaptureFixture) -> None:
    """After a quiet day a missing marker says nothing about a loss."""
    reporter = reporter_of()
    progress = progress_of(reporter)
    commit_up_to(progress, 3)
    assert next_after(progress, Marker(), NOTHING_THERE, now=MARKER_SECONDS) == (4,)
    assert (reporter.ledger.lost_commits, caplog.messages) == (0, [])


def test_a_marker_that_went_forward_after_a_loss() -> None:
    """A replay leaves out what the next primary turns out to have."""
    reporter = reporter_of()
    progress = progress_of(reporter)
    commit_up_to(progress, 3)
    next_after(progress, Marker(1, 1, "ours"), HourState(NOON, None), now=1)
    found = Marker(2, 1, "ours")
    assert progress.adjust(progress.next(), found, watched(found), now=1)
    assert [part.number for part in progress.next().parts] == [3]
    assert reporter.ledger.replaying == 1


@pytest.mark.parametrize("session", ["ours", "before"])
def test_a_commit_that_is_in_redis(session: str, caplog: pytest.LogCaptureFixture) -> None:
    """Our own attempt has its outcome; one of an earlier session counted every call."""
    progress = progress_of(reporter_of())
    commit = Commit([batch_of(1, "ab")])
    commit.attempts[commit.begin_attempt()] = Outcome(other=2)
    outcome = progress.acknowledge(commit, Marker(1, 1, session))
    assert outcome == (Outcome(other=2) if session == "ours" else Outcome(counted=2))
    assert caplog.messages == []


def test_a_stranger_has_a_copy_of_the_spool(caplog: pytest.LogCaptureFixture) -> None:
    """A batch that an unknown session wrote is counted, and warned of."""
    outcome = progress_of(reporter_of()).acknowledge(Commit([batch_of(1)]), Marker(1, 1, "other"))
    assert outcome == Outcome(counted=1)
    assert "has a copy of this spool" in caplog.text


def test_an_earlier_edition_leaves_all_of_its_drain_in_doubt() -> None:
    """Nobody knows which of our entries a copy of the buffer had, nor those of its next batch."""
    progress = progress_of(reporter_of())
    first, second, later = (batch_of(1, edition=2), batch_of(2, edition=2), batch_of(3, edition=3))
    outcome = progress.acknowledge(Commit([first]), Marker(1, 1, "other", edition=1))
    assert (outcome.in_doubt, list(outcome.errors)) == (1, [API_NOON])
    assert progress.is_doubtful(second)
    assert not progress.is_doubtful(later)


def test_a_marker_that_another_program_has_overwritten() -> None:
    """What it was is known while nothing is in doubt. Otherwise it is an error, not a guess."""
    progress = progress_of(reporter_of())
    commit_up_to(progress, 3)
    progress.begin(batch_of(4))
    commit = progress.next()
    assert progress.last_marker(commit, watched(None)) == Marker(3, 1, "ours")
    commit.attempts[1] = Outcome()
    with pytest.raises(ResponseError, match="another program"):
        progress.last_marker(commit, watched(None))


def test_another_producer_begins_with_nothing() -> None:
    """What was committed for one producer is not replayed for the next."""
    progress = progress_of(reporter_of())
    commit_up_to(progress, 3)
    progress.switch_producer("another")
    assert progress.acknowledged == Marker()
    assert next_after(progress, Marker(), NOTHING_THERE, now=1) == (4,)
