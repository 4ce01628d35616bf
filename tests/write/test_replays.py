"""Which acknowledged commits are written again after a loss, and what the ledger says meanwhile."""

from collections.abc import Sequence

import pytest

from logcommon.stats import Outcome
from logcommon.write import replays as replays_module
from logcommon.write.batch import Batch
from logcommon.write.commit import Commit
from logcommon.write.replays import Replays
from logcommon.write.reporter import Reporter
from support.writing import batch_of, reporter_of


def replays_of(reporter: Reporter, last: int) -> Replays:
    """Return replays that hold commits 1 to `last`, of one call each, counted in the ledger."""
    replays = Replays(reporter._settings, reporter)
    for number in range(1, last + 1):
        assert not replays.finish(Commit([batch_of(number)]), Outcome(counted=1), now=0)
        reporter.add(counted=1)
    return replays


def next_commit(replays: Replays) -> Commit:
    commit = replays.next()
    assert commit is not None
    return commit


def numbers(batches: Sequence[Batch]) -> list[int]:
    return [batch.number for batch in batches]


def test_nothing_is_replayed_without_a_loss() -> None:
    """What Redis has acknowledged and kept is not written again."""
    assert replays_of(reporter_of(), last=3).next() is None


def test_a_loss_is_replayed_as_one_commit() -> None:
    """Lost batches are pending until they are in Redis again, and then counted as before."""
    reporter = reporter_of()
    replays, ledger = replays_of(reporter, last=3), reporter.ledger
    replays.replay_after(1, now=0)
    assert (ledger.counted, ledger.replaying) == (1, 2)

    commit = next_commit(replays)
    assert (numbers(commit.parts), commit.number) == ([2, 3], 3)
    assert replays.next() is commit, "the same until it is finished"
    assert replays.finish(commit, Outcome(counted=2), now=0)
    assert (ledger.counted, ledger.replaying, ledger.replayed_commits) == (3, 0, 2)
    assert replays.next() is None


def test_a_large_loss_is_replayed_in_several_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No replay has more distinct messages than a batch may have; the oldest come first."""
    monkeypatch.setattr(replays_module, "BATCH_SIZE", 2)
    reporter = reporter_of()
    replays = Replays(reporter._settings, reporter)
    for number, messages in enumerate(["a", "b", "c"], start=1):
        replays.finish(Commit([batch_of(number, messages)]), Outcome(counted=1), now=0)
    replays.replay_after(0, now=0)

    first = next_commit(replays)
    replays.finish(first, Outcome(counted=2), now=0)
    assert [numbers(first.parts), numbers(next_commit(replays).parts)] == [[1, 2], [3]]


def test_a_second_loss_in_the_middle_of_a_replay() -> None:
    """What was being written again and what is lost now are replayed in order, each once."""
    reporter = reporter_of()
    replays = replays_of(reporter, last=4)
    replays.replay_after(2, now=0)
    next_commit(replays)
    replays.replay_after(1, now=0)
    assert numbers(next_commit(replays).parts) == [2, 3, 4]
    assert (reporter.ledger.counted, reporter.ledger.replaying) == (1, 3)


def test_a_replay_that_is_lost_is_replayed() -> None:
    """It is held like any other commit."""
    reporter = reporter_of()
    replays = replays_of(reporter, last=2)
    for _ in range(2):
        replays.replay_after(0, now=0)
        commit = next_commit(replays)
        assert numbers(commit.parts) == [1, 2]
        replays.finish(commit, Outcome(counted=2), now=0)
    assert (reporter.ledger.counted, reporter.ledger.replaying) == (2, 0)


def test_what_turns_out_to_be_there_is_left_out() -> None:
    """The parts up to the marker count at once, and the others stay pending."""
    reporter = reporter_of()
    replays = replays_of(reporter, last=3)
    replays.replay_after(0, now=0)
    commit = next_commit(replays)
    assert not replays.remove_written(commit, 0, now=0)
    assert replays.remove_written(commit, 2, now=0)
    assert numbers(next_commit(replays).parts) == [3]
    assert (reporter.ledger.counted, reporter.ledger.replaying) == (2, 1)


def test_a_commit_in_doubt_is_not_held() -> None:
    """Another process may have written it under other messages, so we can't write it again."""
    reporter = reporter_of()
    replays = replays_of(reporter, last=1)
    replays.finish(Commit([batch_of(2)]), Outcome(in_doubt=1), now=0)
    replays.replay_after(0, now=0)
    assert numbers(next_commit(replays).parts) == [1]


@pytest.mark.parametrize("was_sent", [True, False])
def test_a_close_drops_what_was_not_replayed(
    was_sent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as unwritten and its commits as lost, in doubt only if it was sent."""
    reporter = reporter_of()
    replays, ledger = replays_of(reporter, last=3), reporter.ledger
    replays.replay_after(1, now=0)
    commit = next_commit(replays)
    if was_sent:
        commit.attempts[commit.begin_attempt()] = Outcome(counted=2)
    caplog.clear()

    replays.drop()
    assert (ledger.counted, ledger.replaying) == (1, 0)
    assert (ledger.dropped_unwritten, ledger.in_doubt) == (2, 2 * was_sent)
    assert ledger.lost_commits == 2
    assert "closed before 2 commits" in caplog.text
    assert replays.next() is None


def test_a_close_with_nothing_to_replay_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """The usual close counts nothing and warns of nothing."""
    reporter = reporter_of()
    replays_of(reporter, last=2).drop()
    assert (reporter.ledger.lost_commits, caplog.messages) == (0, [])


@pytest.mark.parametrize("silently", [True, False])
def test_a_marker_without_meaning_clears_what_is_held(
    silently: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing held is written again; an unexpected loss of the marker is warned of."""
    reporter = reporter_of()
    replays = replays_of(reporter, last=3)
    replays.clear(silently=silently)
    replays.replay_after(0, now=0)
    assert replays.next() is None
    assert reporter.ledger.lost_commits == (0 if silently else 3)
    assert len(caplog.messages) == (0 if silently else 1)
