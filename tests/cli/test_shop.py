"""What the shop of the demo logs."""

from collections import Counter
from random import Random

from logcommon.cli.shop import Event, visit


def _events(*, cache_is_down: bool = False) -> list[Event]:
    dice = Random(1)
    return [event for _ in range(50_000) for event in visit(dice, cache_is_down=cache_is_down)]


def test_the_same_dice_cause_the_same_log() -> None:
    """The same seed logs the same messages."""
    assert _events() == _events()


def test_messages_repeat() -> None:
    """A large log has few distinct messages, and ten of them make up half of it."""
    counts = Counter(event.message for event in _events())
    assert len(counts) < 500
    assert sum(n for _, n in counts.most_common(10)) > counts.total() / 2


def test_severities_are_as_rare_as_in_life() -> None:
    """Worse severities are rarer, and only errors are waited for."""
    events = _events()
    counts = Counter(event.severity for event in events)
    assert counts["info"] > counts["warning"] > counts["error"] > counts["critical"] > 0
    assert {event.severity for event in events if event.is_awaited} == {"error", "critical"}


def test_the_incident_shows() -> None:
    """The incident of the second hour is among its most common messages."""
    incident = "cache node 2 does not answer, reading from the database"
    common = Counter(event.message for event in _events(cache_is_down=True)).most_common(8)
    assert incident in dict(common)
    assert incident not in {event.message for event in _events()}
