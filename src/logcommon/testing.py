"""For the tests of applications that use this package.

```python
import logcommon
from logcommon.testing import capture


def sell() -> None:  # what is tested
    with logcommon.background("redis://localhost:6379/0") as log:
        log.log_common_nowait("shop", "order taken")


with capture() as captured:
    sell()

assert captured.counts == {("shop", "info", "order taken"): 1}
```

With pytest, the fixture `logcommon_capture` does the same for a test.
"""

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, cast

from redis.asyncio import Redis

from logcommon.client import CommonLog, connect
from logcommon.model import RECENT_LENGTH, Destination, encode_message, parse_recent
from logcommon.runtime import ending
from logcommon.runtime.atomic import atomically
from logcommon.runtime.fork import living
from logcommon.schema.keys import marker_key, parse_registered
from logcommon.server.memory import MemoryRedis, MemoryServer
from logcommon.server.target import stand_ins
from logcommon.settings import Settings
from logcommon.stats import Ledger
from logcommon.write.batch import Batch, Entry
from logcommon.write.buffer import Buffer
from logcommon.write.transaction import TRANSACTION_SIZE, Marker

__all__ = ["Captured", "capture", "fake_client"]

_Counts = Counter[tuple[str, str, str]]


@contextlib.contextmanager
def capture() -> Iterator["Captured"]:
    """Keep what is logged in memory instead of writing it to Redis.

    Inside, every client of this process writes to memory: whatever `connect` and `background`
    return, also to an integration that was given a URL. It doesn't matter when the client was made,
    except that one that `async with` opened before stays with its server until it is closed. What
    was logged before is not captured: clients in the background write it first, for `drain_timeout`
    seconds at most if their server can't be reached.

    All else is as in production: `redact`, bounds, errors, `stats`, and what clients read. A spool
    is not used, and an embedded server is not started. Captures can be nested: what is logged goes
    to the innermost one.
    """
    captured = Captured()
    with contextlib.ExitStack() as at_end:
        ending.close_all()
        _begin(captured)

        # Clients in the background are closed at both ends; the next call opens them on what is
        # then their server. Closed again, as other threads may have opened them meanwhile.
        at_end.callback(_end, captured)
        at_end.callback(ending.close_all)
        at_end.callback(stand_ins.remove, captured._client_instead_of)
        at_end.callback(ending.close_all)

        ending.close_all()
        yield captured


def fake_client(**settings: Any) -> CommonLog:
    """Return a client of an empty Redis imitated by fakeredis, of its own.

    Use it if a test needs a Redis to look into. For the application's counts, `capture` is enough;
    inside of one, this client is captured like every other.

    Args:
        settings: Keyword arguments of `connect`.

    Raises:
        ImportError: fakeredis is not installed.
        InvalidArgumentError: A setting can't be used.

    """
    try:
        from fakeredis import FakeAsyncRedis, FakeServer
    except ModuleNotFoundError as missing:
        raise ImportError(
            "fakeredis is not installed: pip install fakeredis", name="fakeredis"
        ) from missing
    return connect(FakeAsyncRedis(server=FakeServer()), **settings)


class Captured:
    """What was logged inside of `capture`, by any thread and in any event loop of this process.

    It is complete at once: there is nothing to flush or to wait for. It can still be read after the
    capture.
    """

    def __init__(self) -> None:
        self._server = MemoryServer()
        self._cleared: _Counts = Counter()
        self._held: dict[CommonLog, _State] = {}
        self.log: CommonLog = CommonLog(MemoryRedis(self._server), Settings())
        """A client to pass to what takes one, as in `CommonLogHandler(captured.log)`. If it needs
        settings, pass what `connect` returns instead."""

    @property
    def counts(self) -> Counter[tuple[str, str, str]]:
        """How often each message was logged, by (service, severity, message), in all hours.

        It is flat, so that one line checks one message, and a plain dictionary checks all of them:

            assert captured.counts["shop", "error", "payment declined"] == 1
            assert captured.counts == {("shop", "error", "payment declined"): 1}

        The count of what was not logged is 0.
        """
        with self._server.lock:
            counts = _counts(self._pending())
            for (name, severity), scores in self._values(b"common"):
                for member, count in scores.items():
                    counts[name, severity, member.decode()] += count
        return counts - self._cleared

    @property
    def recent(self) -> dict[tuple[str, str], list[str]]:
        """The newest messages by (service, severity), newest first; 100 of each at most."""
        with self._server.lock:
            recent = _newest_first(self._pending())
            for (name, severity), texts in self._values(b"recent"):
                messages = [parse_recent(text.decode()).message for text in texts]
                recent.setdefault((name, severity), []).extend(messages)
        return {key: messages[:RECENT_LENGTH] for key, messages in recent.items()}

    def clear(self) -> None:
        """Forget what was logged so far."""
        with self._server.lock:
            pending = self._pending()
            self._server.erase()
            # What is pending will still be written, so it is subtracted from now on.
            self._cleared = _counts(pending)
            for batch in pending:
                batch.recent = {}
            for buffer in self._buffers():
                buffer._fold_all(partial(setattr, buffer, "_recent", {}))

    def __repr__(self) -> str:
        return f"<logcommon.testing.Captured {dict(self.counts)}>"

    def _client_instead_of(self, target: str | Redis) -> Redis:
        return target if isinstance(target, MemoryRedis) else MemoryRedis(self._server)

    def _values(self, prefix: bytes) -> Iterator[tuple[Destination, Any]]:
        """Yield the values under the keys of destinations, which are sets or lists."""
        for key, value in self._server.values.items():
            kind, *path = key.split(b":")
            if kind == prefix and not isinstance(value, bytes):
                destination = parse_registered(b":".join(path[:2]))
                assert destination is not None  # noqa: S101  # all keys are ours
                yield destination, value

    def _pending(self) -> list[Batch]:
        """Return what is not in memory yet. While the server is locked, nothing gets there."""
        while True:
            moving = self._moving()
            waiting = [batch for buffer in self._buffers() for batch in _waiting(buffer)]
            if list(map(id, moving)) == list(map(id, self._moving())):
                batches = [each for each in moving if isinstance(each, Batch)]
                return [each for each in batches if not self._has(each)] + waiting

    def _moving(self) -> list[object]:
        """Return what has left the buffers and may be on its way here."""
        moving: list[Any] = [part for each in self._buffers() for part in each._sealed]
        for log in _clients():
            session = log._session
            if session is not None and _server_of(log) is self._server:
                moving += cast("tuple[Batch, ...]", session.writer.snapshot()())
        return moving

    def _has(self, batch: Batch) -> bool:
        """Whether a batch is in memory, and its client only has to take note of it."""
        marker = Marker.read(self._server.values.get(marker_key(batch.producer)))
        return marker is not None and 0 < batch.number <= marker.number

    def _buffers(self) -> list[Buffer]:
        """Return the buffers in which something may wait to be written here."""
        is_current = _CAPTURES[-1] is self
        waiting = [
            log._buffer
            for log in _clients()
            if _server_of(log) is self._server or (is_current and _is_free(log))
        ]
        return waiting + [state.buffer for state in tuple(self._held.values())]

    def _hold(self, logs: Iterable[CommonLog]) -> None:
        """Keep what clients have pending, and reset them."""
        for log in logs:
            self._held[log] = _take_state(log)

    def _resume(self) -> None:
        """Give clients back what they had pending."""
        for log in _free_clients():
            if log in self._held:
                _give_state(log, self._held.pop(log))


_CAPTURES = [Captured()]
"""The innermost last. The first is no capture: it holds what was pending before all of them."""

_LOCK = threading.Lock()


def _begin(captured: Captured) -> None:
    with _LOCK:
        _CAPTURES[-1]._hold(_free_clients())
        _CAPTURES.append(captured)
        stand_ins.append(captured._client_instead_of)


def _end(captured: Captured) -> None:
    with _LOCK:
        is_current = _CAPTURES[-1] is captured
        if is_current:
            captured._hold(log for log in _free_clients() if _waiting(log._buffer))
        _CAPTURES.remove(captured)
        if is_current:
            _CAPTURES[-1]._resume()


@dataclass(frozen=True, slots=True)
class _State:
    """What a client that is not open has."""

    buffer: Buffer
    ledger: Ledger
    session: Any


_VERSIONS = itertools.count(1 << 32, 1 << 32)
"""Far from each other: a fold that was begun on one state must not be published on another."""


def _take_state(log: CommonLog) -> _State:
    """Return what a client has, and reset it as in a new process."""
    buffer, make = log._buffer, type(log._buffer)
    held, fresh = make(log._settings), make(log._settings)
    fresh._version = [next(_VERSIONS)]

    # In one step, as other threads go on logging.
    atomically(
        partial(vars(held).update, vars(buffer)),
        partial(vars(buffer).update, vars(fresh)),
    )
    state = _State(held, log._ledger, log._session)
    log._begin()
    return state


def _give_state(log: CommonLog, state: _State) -> None:
    vars(log._buffer).update(vars(state.buffer))
    log._ledger, log._session = state.ledger, state.session


def _clients() -> list[CommonLog]:
    return [each for each in living() if isinstance(each, CommonLog)]


def _free_clients() -> list[CommonLog]:
    return list(filter(_is_free, _clients()))


def _is_free(log: CommonLog) -> bool:
    """Whether a client has no server yet, and would be opened on that of the innermost capture."""
    return not log.is_open and not isinstance(log._target.client, MemoryRedis)


def _server_of(log: CommonLog) -> MemoryServer | None:
    """Return the server in memory that a client writes to, None if there is no such."""
    session = log._session
    client = session.client if session is not None and log.is_open else log._target.client
    return client.server if isinstance(client, MemoryRedis) else None


def _waiting(buffer: Buffer) -> list[Batch]:
    return buffer.copy(TRANSACTION_SIZE)


def _counts(batches: Iterable[Batch]) -> _Counts:
    counts: _Counts = Counter()
    for batch in batches:
        for ((name, severity), _), messages in batch.counts.items():
            for message, count in messages.items():
                counts[name, severity, _as_stored(message)] += count
    return counts


def _newest_first(batches: Iterable[Batch]) -> dict[tuple[str, str], list[str]]:
    entries: dict[tuple[str, str], list[Entry]] = {}
    for batch in batches:
        for (name, severity), recent in batch.recent.items():
            entries.setdefault((name, severity), []).extend(recent)

    return {
        key: [_as_stored(message) for message, _ in sorted(each, key=itemgetter(1))[::-1]]
        for key, each in entries.items()
    }


def _as_stored(message: str) -> str:
    return encode_message(message).decode()
