"""A clock that a test turns by hand."""

from logcommon.model import Hour

NOON = 494_412  # 2026-05-27T12:00:00 UTC, counted in hours from the epoch


class HandClock:
    """Stands still at a time, in seconds since the epoch, until it is turned."""

    def __init__(self, hour: Hour = NOON) -> None:
        self.now = hour * 3600.0 + 5

    def __call__(self) -> float:
        return self.now

    @property
    def hour(self) -> Hour:
        return int(self.now // 3600)

    def turn(self, hours: int = 1) -> None:
        self.now += hours * 3600
