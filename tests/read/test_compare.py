"""What counts as a change: rates, their uncertainty, and the kinds of changes. No server."""

import math
import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon import template
from logcommon.model import OTHER, Destination, hour_start
from logcommon.read.compare import (
    Windows,
    best_of,
    change_of,
    comparison_of,
    differences,
    dispersion_of,
    rank,
    renamed,
)

API = Destination("api", "info")
NOON = 400_000
LAST_HOUR = Windows((NOON,), (NOON - 1,), 1.0, 1.0)
HALF_AN_HOUR = Windows((NOON,), (NOON - 1,), 0.5, 1.0)

counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**9))


def test_rates_are_compared_and_not_counts() -> None:
    """Half of the calls in half an hour are no change."""
    (found,) = differences({"a": 500}, {"a": 1000}, HALF_AN_HOUR, 0.0)
    assert abs(found.log_ratio) < 0.01
    assert (found.bound < 0, found.at_least) == (True, 1.0)


def test_the_bound_is_that_of_the_wald_test() -> None:
    """Without variation of the traffic it is the log ratio less two standard errors."""
    (found,) = differences({"a": 100}, {"a": 10}, LAST_HOUR, 0.0)
    error = math.sqrt(1 / 100.5 + 1 / 10.5)
    assert found.log_ratio == pytest.approx(math.log(100.5 / 10.5))
    assert found.bound == pytest.approx(found.log_ratio - 2 * error)
    assert found.at_least == pytest.approx(math.exp(found.bound))


def test_the_most_certain_change_is_first() -> None:
    """Of a tenfold change of few calls and a threefold of many, the one known better is first."""
    found = differences({"few": 10, "many": 30_000}, {"few": 1, "many": 10_000}, LAST_HOUR, 0.0)
    assert [each.message for each in found] == ["many", "few"]


def test_traffic_that_varies_hides_changes() -> None:
    """What is a change on steady traffic is none if all messages vary as much from hour to hour."""
    after, before = {"a": 2_000}, {"a": 1_000}
    (steady,) = differences(after, before, LAST_HOUR, 0.0)
    (varied,) = differences(after, before, LAST_HOUR, 0.2)
    assert steady.bound > 0 > varied.bound


def test_more_hours_before_make_a_change_more_certain() -> None:
    """A mean of many hours varies less than one hour."""
    day = Windows((NOON,), tuple(range(NOON - 24, NOON)), 1.0, 24.0)
    (hour,) = differences({"a": 3_000}, {"a": 1_000}, LAST_HOUR, 0.1)
    (longer,) = differences({"a": 3_000}, {"a": 24_000}, day, 0.1)
    assert longer.bound > hour.bound


@given(counts, counts, st.floats(0.01, 1.0), st.floats(0, 2))
def test_any_counts_can_be_compared(
    after: dict[str, int], before: dict[str, int], passed: float, dispersion: float
) -> None:
    """Each message comes once, in order, and swapping the windows turns the ratio around."""
    windows = Windows((NOON,), (NOON - 1,), passed, 1.0)
    found = differences(after, before, windows, dispersion)
    assert {each.message for each in found} == after.keys() | before.keys()
    assert [each.bound for each in found] == sorted((each.bound for each in found), reverse=True)
    assert all(each.at_least >= 1 for each in found)

    swapped = differences(before, after, LAST_HOUR, dispersion)
    straight = {each.message: each for each in differences(after, before, LAST_HOUR, dispersion)}
    for each in swapped:
        assert each.log_ratio == pytest.approx(-straight[each.message].log_ratio)


def test_the_dispersion_is_what_chance_does_not_explain() -> None:
    """Estimated from made-up traffic it is near the true one, and none for mere chance."""
    chance = random.Random(1)

    def hours(variation: float) -> list[int]:
        rates = [
            1_000 * (chance.gammavariate(variation**-2, variation**2) if variation else 1)
            for _ in range(24)
        ]
        return [round(chance.gauss(rate, rate**0.5)) for rate in rates]

    for variation in (0.0, 0.1, 0.5):
        found = mean(dispersion_of(hours(variation) for _ in range(50)) for _ in range(5))
        assert found**0.5 == pytest.approx(variation, abs=0.05)


@pytest.mark.parametrize("hourly", [[], [[100, 300]], [[1, 2, 3, 4, 5]]])
def test_too_little_history_is_taken_for_usual_traffic(hourly: list[list[int]]) -> None:
    """With two hours, or of a rare message, the dispersion can't be told."""
    assert dispersion_of(hourly) == 0.125


@pytest.mark.parametrize(
    ("before", "after", "was_seen", "kind"),
    [
        (0, 1, False, "new"),
        (0, 500, False, "new"),
        (0, 5, True, "back"),
        (1_000, 0, True, "gone"),
        (1, 0, True, "steady"),
        (100, 9_000, True, "rising"),
        (9_000, 100, True, "falling"),
        (100, 110, True, "steady"),
    ],
)
def test_kinds(before: int, after: int, was_seen: bool, kind: str) -> None:
    """A message is new only if no kept hour had it; a change is one only if it is certain."""
    (found,) = differences({"a": after}, {"a": before}, LAST_HOUR, 0.01)
    seen = [NOON] * bool(after) + [NOON - 1] * bool(before) + [NOON - 9] * was_seen
    change = change_of(found, API, LAST_HOUR, seen)
    assert change.kind == kind
    assert (change.rate_before, change.rate_after) == (before, after)
    assert change.first_seen == hour_start(min(seen))
    assert change.last_seen == hour_start(max(seen))


def test_templates_are_merged_before_they_are_compared() -> None:
    """The name of another user makes no new message, unless that is asked for."""
    hourly = {
        NOON: {f"hello to user {name}": 10 for name in ("alice", "bob", "carol")},
        NOON - 1: {"hello to user <num>": 30},
    }
    ranking = rank(hourly, LAST_HOUR, merge=None)
    (found,) = ranking.found
    assert (found.message, found.before, found.after) == ("hello to user <*>", 30, 30)
    assert len(ranking.members(found.message)) == 4
    assert len(rank(hourly, LAST_HOUR, merge=False).found) == 4


def test_only_templates_that_are_counted_now_get_a_new_name() -> None:
    """A template that the rules have not changed, or whose new one isn't counted, stays."""
    examples = {"a <*>": "a 1", "b <num>": "b 1", "c <*>": "c 1"}
    assert renamed(examples, template, {"a <num>", "b <num>"}) == {"a <*>": "a <num>"}


def test_what_is_no_message_is_not_compared() -> None:
    """`<other>` is reported apart, and scores below 0 of another program are ignored."""
    hourly = {NOON: {OTHER: 7, "a": 1, "bad": -5}, NOON - 1: {OTHER: 3, "a": 1, "bad": -5}}
    ranking = rank(hourly, LAST_HOUR, merge=False)
    assert [each.message for each in ranking.found] == ["a"]
    comparison = comparison_of([], LAST_HOUR, [ranking, ranking])
    assert (comparison.other_after, comparison.other_before) == (14, 6)
    assert (comparison.after.hours, comparison.after.seconds) == ((hour_start(NOON),), 3600)


def test_the_changes_of_several_destinations_are_ranked_together() -> None:
    """The largest comes first, wherever it was counted, and no more than asked for."""
    web = Destination("web", "info")
    rankings = {
        API: rank({NOON: {"a": 50}, NOON - 1: {"a": 10}}, LAST_HOUR, merge=False),
        web: rank({NOON: {"b": 900}, NOON - 1: {"b": 10, "c": 10}}, LAST_HOUR, merge=False),
    }
    assert [(each, found.message) for each, found in best_of(rankings, 2)] == [
        (web, "b"),
        (API, "a"),
    ]
