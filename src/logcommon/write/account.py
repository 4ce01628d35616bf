"""What became of a batch is warned of, if it is not what one expects."""

from logcommon.runtime.warnings import Alarm
from logcommon.settings import Settings
from logcommon.stats import Outcome


def warn_of(outcome: Outcome, alarm: Alarm, settings: Settings) -> None:
    """Warn of entries that were not counted as they were logged."""
    if outcome.failure:
        alarm.warn(
            "refused",
            f"Redis refused a part of a commit: {outcome.failure}; what concerns that key is "
            "dropped until it is deleted, all else is written",
        )
    if outcome.too_late:
        alarm.warn(
            "too late",
            f"{outcome.too_late} entries are dropped: their hour is older than the "
            f"{settings.history_hours} hours of history that are kept; check the clocks of this "
            "machine and of the others that log, or raise history_hours",
        )
    if outcome.ahead:
        alarm.warn(
            "ahead",
            f"the clock is {outcome.lead:.0f} seconds ahead of the Redis server's; "
            f"{outcome.ahead} entries are counted in the server's hour: synchronize the clocks, or "
            "raise max_clock_lead",
        )
