"""The linger of a writer: it grows while the server is slow, within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon.write.pace import Pace
from support.clock import HandClock


@given(st.lists(st.floats(0, 100)), st.floats(0, 10), st.floats(0, 10))
def test_it_keeps_within_its_bounds(commits: list[float], linger: float, longest: float) -> None:
    """Whatever the server does; a linger that is longer than the longest stays as it is."""
    pace = Pace(linger, longest)
    for seconds in commits:
        pace.committed(seconds)
        assert linger <= pace.linger <= max(linger, longest)


def test_slow_commits_make_it_longer_and_others_shorter_again() -> None:
    """Slow is what takes three times as long as the fastest, and more than noise."""
    pace = Pace(0.2, 2)
    for _ in range(10):
        pace.committed(0.001)
        pace.committed(0.019)
    assert pace.linger == 0.2
    pace.committed(0.1)
    assert pace.linger == pytest.approx(0.3)
    for _ in range(10):
        pace.committed(0.1)
    assert pace.linger == 2
    for _ in range(30):
        pace.committed(0.001)
    assert pace.linger == 0.2


def test_a_server_that_is_far_away_is_lingered_for_a_few_round_trips() -> None:
    """What takes long every time is the network; if it becomes so, that is learned."""
    pace = Pace(0.2, 2)
    for _ in range(100):
        pace.committed(0.03)
    assert pace.linger == 0.2
    for _ in range(3_000):
        pace.committed(0.1)
    assert 0.4 < pace.linger < 0.8


def test_who_begins_on_a_server_that_is_overrun() -> None:
    """Without a fast commit to compare with, the linger itself is what to compare with."""
    pace = Pace(0.2, 2)
    for _ in range(10):
        pace.committed(0.6)
    assert pace.linger == 2


def test_the_first_commits_of_an_hour_are_spread() -> None:
    """Over five lingers, once an hour."""
    clock = HandClock()
    pace = Pace(0.2, 2, clock, lambda: 0.5)
    assert pace.delay_at_the_hour() == 0
    clock.turn()
    assert pace.delay_at_the_hour() == pytest.approx(0.5)
    assert pace.delay_at_the_hour() == 0
