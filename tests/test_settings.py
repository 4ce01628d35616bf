"""Settings are checked before anything is done with them."""

import pytest

from logcommon import InvalidArgumentError, Settings, background, connect


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linger", -1),
        ("linger", float("nan")),
        ("drain_timeout", float("inf")),
        ("drain_timeout", "5"),
        ("commit_timeout", 0),
        ("history_hours", -1),
        ("history_hours", 1.5),
        ("max_clock_lead", -1),
        ("max_clock_lead", float("nan")),
        ("max_clock_lead", float("-inf")),
        ("hold_seconds", -1),
        ("hold_seconds", float("inf")),
        ("hold_bytes", 1.5),
        ("wait_replicas", -1),
        ("wait_replicas", "1"),
        ("max_pending", 0),
        ("max_members", 0),
        ("max_message_bytes", 15),
        ("max_destinations", 0),
        ("max_pending", True),
        ("linger", True),
        ("max_clock_lead", False),
        ("spool", 12),
        ("redact", "secrets"),
        ("clock", 12),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: object) -> None:
    """A wrong setting gets an error that names it."""
    with pytest.raises(InvalidArgumentError, match=name):
        connect(**{name: value})  # type: ignore[arg-type]


def test_a_fraction_of_a_whole_number_is_named_as_such() -> None:
    """The error for 1.5 says that a whole number is needed."""
    with pytest.raises(InvalidArgumentError, match="history_hours must be a whole number"):
        connect(history_hours=1.5)  # type: ignore[arg-type]


def test_a_client_has_the_settings_it_was_made_with() -> None:
    """Both kinds of client return the settings that were given, and defaults for the rest."""
    expected = Settings(linger=1, max_pending=5)
    assert connect("redis://host", linger=1, max_pending=5).settings == expected
    assert background("redis://host", linger=1, max_pending=5).settings == expected
