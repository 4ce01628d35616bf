"""Batches are merged, without losing anything."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from logcommon.model import RECENT_LENGTH, Destination
from logcommon.write.batch import Batch, calls_of, merge, take_mergeable
from support.clock import NOON

API = Destination("api", "info")


def batch(number: int, messages: str = "m") -> Batch:
    return Batch({(API, NOON): dict.fromkeys(messages, 1)}, number=number)


@given(st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1), st.integers(1, 5))
def test_batches_are_merged_up_to_the_size_of_a_transaction(texts: list[str], most: int) -> None:
    """Nothing is lost, the order stays, and no two neighbours would have fitted into one."""
    waiting = deque(batch(number, text) for number, text in enumerate(texts, 1))
    merged = []
    while waiting:
        merged.append(merge(take_mergeable(waiting, most)))
    assert calls_of(merged) == sum(len(set(text)) for text in texts)
    assert [each.number for each in merged] == sorted(each.number for each in merged)
    assert merged[-1].number == len(texts)
    distinct = [set(each.counts[API, NOON]) for each in merged]
    sizes = [len(each) for each in distinct]
    assert all(size <= max(most, 4) for size in sizes)


def test_many_commits_of_the_same_messages_become_one() -> None:
    """Messages that batches have in common take room once; the newest entries are kept."""
    entries = [("m", float(second)) for second in range(RECENT_LENGTH - 1)]
    waiting = deque(
        Batch({(API, NOON): {"a": number, "b": 1}}, {API: list(entries)}, number)
        for number in range(1, 101)
    )
    merged = merge(take_mergeable(waiting, 2))
    assert not waiting
    assert merged.counts == {(API, NOON): {"a": 5050, "b": 100}}
    assert merged.recent == {API: [entries[-1], *entries]}
    assert merged.number == 100
