"""What Redis has acknowledged is held for a while, summarized, and popped if it is lost."""

from logcommon.model import Destination
from logcommon.stats import Outcome
from logcommon.write import history as history_module
from logcommon.write.batch import Batch
from logcommon.write.history import History
from support.clock import NOON

API = Destination("api", "info")


def batch(number: int, messages: str = "m") -> Batch:
    return Batch({(API, NOON): dict.fromkeys(messages, 1)}, number=number)


def filled(last: int, *, seconds: float = 10, size: int = 10_000) -> History:
    """Return a history of commits 1 to `last`, one a second, with one call each."""
    history = History(seconds, size)
    for number in range(1, last + 1):
        history.add([batch(number)], Outcome(counted=1), now=float(number))
    return history


def test_what_is_above_the_marker_is_lost() -> None:
    """Those held come back in order; what Redis has stays held, for the next loss."""
    history = filled(5)
    loss = history.pop_after(3, now=5)
    assert [each.number for each in loss.batches] == [4, 5]
    assert (len(loss.undone), loss.gone_commits, loss.gone_calls) == (2, 0, 0)
    loss = history.pop_after(1, now=5)
    assert [each.number for each in loss.batches] == [2, 3]


def test_a_commit_is_let_go_after_a_while() -> None:
    """What was acknowledged too long ago is gone, and counted, once."""
    history = filled(5, seconds=2.5)
    loss = history.pop_after(1, now=5)
    assert [each.number for each in loss.batches] == [3, 4, 5]
    assert (loss.gone_commits, loss.gone_calls) == (1, 1)
    assert history.pop_after(0, now=5).gone_commits == 1
    assert history.pop_after(0, now=5).gone_commits == 0


def test_commits_are_let_go_above_the_limit_in_bytes() -> None:
    """The oldest go first; one that is larger than the limit is not held at all."""
    history = filled(5, size=2 * batch(1).size)
    loss = history.pop_after(0, now=5)
    assert [each.number for each in loss.batches] == [4, 5]
    assert (loss.gone_commits, loss.gone_calls) == (3, 3)
    history.add([batch(6, "abc")], Outcome(counted=3), now=6)
    loss = history.pop_after(5, now=6)
    assert (loss.batches, loss.gone_calls) == ([], 3)


def test_records_are_bounded() -> None:
    """Of very many commits the numbers are still known, though no longer their calls."""
    history = filled(history_module._SUMMARIES + 20, seconds=5)
    loss = history.pop_after(10, now=history.acknowledged_at)
    assert len(loss.batches) == 5
    assert loss.unknown_commits == 5
    assert loss.gone_commits == history_module._SUMMARIES + 20 - 10 - 5
    assert loss.gone_calls == loss.gone_commits - 5
    assert history.pop_after(10, now=history.acknowledged_at).gone_commits == 0
    assert history.pop_after(7, now=history.acknowledged_at).gone_commits == 3


def test_a_part_of_a_replay_is_kept() -> None:
    """A server that has some of what was written again as one is not given those once more."""
    history = History(10, 10_000)
    history.add([batch(3), batch(4, "ab"), batch(7)], Outcome(counted=3, other=1), now=0)
    loss = history.pop_after(5, now=0)
    assert ([each.number for each in loss.batches], loss.kept) == ([7], 3)
    assert loss.undone == [Outcome(counted=3, other=1)]
    loss = history.pop_after(3, now=0)
    assert ([each.number for each in loss.batches], loss.kept) == ([4], 1)
    assert loss.undone == [Outcome(counted=3)]
