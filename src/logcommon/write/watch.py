"""What is watched and read before a transaction: the marker, and the hours. No I/O.

The *marker* is a key with the number of the producer's last committed batch. It is watched together
with the hours of the batch's destinations. A transaction sets the marker, so whichever attempt at a
batch is executed first changes it under all the others: they abort, whatever the network does with
them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from logcommon.model import Destination
from logcommon.schema.commands import Command, Reply
from logcommon.schema.keys import destination_keys
from logcommon.schema.rotation import HourState

MARKER_SECONDS = 24 * 3600
"""Seconds after its producer's last commit at which a marker expires."""

# Earlier versions wrote a number and an attempt alone. Such an attempt belongs to no session.
_MARKER = re.compile(rb"(\d+)\.(\d+)(?:\.([0-9a-f]+)\.(\d+))?")


class Marker(NamedTuple):
    """Which batch of a producer was committed last, and which attempt at it was executed.

    If a spool was copied, two sessions may write the same batch. `session` says whose attempt was
    executed, and `edition` which form of the batch it sent.
    """

    number: int = 0
    attempt: int = 0
    session: str = ""
    edition: int = 0

    def command(self, key: bytes) -> Command:
        """Return the command that sets the marker."""
        number, attempt, session, edition = self
        value = b"%d.%d.%s.%d" % (number, attempt, session.encode(), edition)
        return (b"SET", key, value, b"EX", MARKER_SECONDS)

    @classmethod
    def read(cls, value: Reply) -> "Marker | None":
        """Return the marker for its value in Redis; None if another program wrote the value."""
        if value is None:
            return cls()
        match = None if isinstance(value, Exception) else _MARKER.fullmatch(value)
        if match is None:
            return None

        number, attempt, session, edition = match.groups(b"")
        return cls(int(number), int(attempt), session.decode(), int(edition or 0))


@dataclass(frozen=True, slots=True)
class Watched:
    """What was read under WATCH. The next transaction is decided by it."""

    marker: Marker | None
    """None if another program has written to its key."""
    states: dict[Destination, HourState]
    members: dict[Destination, int]
    """How many messages the current set has."""
    wrong_type: dict[Destination, str] = field(default_factory=dict)
    """Destinations that have a key of the wrong type, and what Redis said; these are left alone."""
    server_time: float = field(kw_only=True)
    """The server's clock, in seconds since the epoch."""


def watch_commands(marker_key: bytes, destinations: Sequence[Destination]) -> list[Command]:
    """Return the commands that watch and read the marker and the hours of destinations."""
    keys = [destination_keys(destination) for destination in destinations]
    watched = [marker_key, *(key for each in keys for key in (each.start, each.previous_start))]
    return [
        (b"WATCH", *watched),
        (b"TIME",),
        # One by one: MGET returns nil for a key of the wrong type, which would be overwritten.
        *((b"GET", key) for key in watched),
        *((b"ZCARD", each.current) for each in keys),
    ]


def read_watched(destinations: Sequence[Destination], replies: Sequence[Reply]) -> Watched:
    """Return what the replies to `watch_commands` say.

    Raises:
        redis.exceptions.ResponseError: Redis refused to watch or to read.

    """
    _, time, marker, *values = replies
    for reply in replies:
        if isinstance(reply, Exception) and not is_wrong_type(reply):
            raise reply

    count = len(destinations)
    seconds, microseconds = map(int, time)
    watched = Watched(Marker.read(marker), {}, {}, server_time=seconds + microseconds / 1e6)

    for destination, start, previous, size in zip(
        destinations,
        values[: 2 * count : 2],
        values[1 : 2 * count : 2],
        values[2 * count :],
        strict=True,
    ):
        keys = destination_keys(destination)
        replies_by_key = {keys.start: start, keys.previous_start: previous, keys.current: size}
        for key, reply in replies_by_key.items():
            if isinstance(reply, Exception):
                watched.wrong_type[destination] = f"{reply} on {key!r}"

        if destination not in watched.wrong_type:
            watched.states[destination] = HourState.read(start, previous)
            watched.members[destination] = size

    return watched


def is_wrong_type(error: Exception) -> bool:
    """Return whether Redis refused a command because the key has another type."""
    return str(error).startswith("WRONGTYPE")
