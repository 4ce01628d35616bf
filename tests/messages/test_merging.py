"""Templates that differ only in word parameters are merged."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon import merge_templates

USERS = ("alice", "bob", "carol", "dave")


def merged(*templates: str) -> set[str]:
    return set(merge_templates(dict.fromkeys(templates, 1)).values())


def test_names_are_a_parameter() -> None:
    """Three words or more in the same place are a parameter, with the punctuation of all."""
    assert merged(*(f"session opened for user {user}, by root" for user in USERS)) == {
        "session opened for user <*>, by root"
    }


def test_two_words_are_no_parameter() -> None:
    """Two words may be two states."""
    assert len(merged("the link is up now", "the link is down now")) == 2


def test_a_placeholder_makes_a_parameter() -> None:
    """If there is a placeholder in the same place, a single word is a parameter too."""
    assert merged("no route to host <ip> now", "no route to host db now") == {
        "no route to host <*> now"
    }


def test_what_happened_is_no_parameter() -> None:
    """Participles and HTTP methods are never merged, however many there are."""
    happened = [f"the job <num> was {word}" for word in ("started", "paused", "resumed", "stopped")]
    methods = [f"<ip> {method} <path> took <duration> here" for method in ("GET", "PUT", "POST")]
    assert merged(*happened) == set(happened)
    assert merged(*methods) == set(methods)


def test_the_first_word_is_what_a_message_is_about() -> None:
    """A few first words stay apart; very many are a parameter, such as a user's name."""
    few = [f"{word} is not ready" for word in ("cache", "database", "queue", "index")]
    many = [f"{first}{last} has been here" for first in "abcdef" for last in "uvwx"]
    assert merged(*few) == set(few)
    assert merged(*many) == {"<*> has been here"}
    assert merged(*(f"<date> {text}" for text in few)) == {f"<date> {text}" for text in few}


def test_something_must_be_in_common() -> None:
    """Templates with hardly any words in common stay apart."""
    assert len(merged("connected <num>", "closed <num>", "failed <num>", "lost <num>")) == 4


def test_two_parameters_are_merged_in_turn() -> None:
    """Each of several parameters is found."""
    rooms = ("red", "green", "blue")
    found = merged(*(f"user {user} entered room {room} now" for user in USERS for room in rooms))
    assert found == {"user <*> entered room <*> now"}


words = st.sampled_from(["user", "bob", "eve", "amy", "<num>", "<*>", "opened", "a,", "b,", "c,"])
templates = st.lists(words, max_size=5).map(" ".join)


@given(st.dictionaries(templates, st.integers(1, 9), max_size=12), st.randoms())
def test_sums_stay_and_order_does_not_matter(counts: dict[str, int], chance: random.Random) -> None:
    """The sums stay, the order does not matter, and merging again changes nothing."""
    result = merge_templates(counts)
    assert result.keys() == counts.keys()

    shuffled = list(counts.items())
    chance.shuffle(shuffled)
    assert merge_templates(dict(shuffled)) == result

    sums: Counter[str] = Counter()
    for template, count in counts.items():
        sums[result[template]] += count
    assert sums.total() == sum(counts.values())
    assert set(merge_templates(sums).values()) == set(sums)


@pytest.mark.parametrize("length", [63, 64, 65, 500])
def test_long_templates(length: int) -> None:
    """Of a very long template, only the beginning is compared word by word."""
    end = " word" * length
    found = merged(*(f"opened for {user}{end}" for user in USERS))
    assert found == {f"opened for <*>{end}"}


def test_punctuation_that_not_all_have_is_part_of_the_parameter() -> None:
    """A parameter keeps the brackets around it only if all have them."""
    names = ("[alice]", "bob", "carol.")
    assert merged(*(f"session opened for {name}" for name in names)) == {"session opened for <*>"}
