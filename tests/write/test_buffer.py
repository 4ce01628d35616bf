"""The buffer: whatever goes in comes out once, in its own hour, under the bounds."""

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import OTHER, Destination, Group
from logcommon.settings import Settings
from logcommon.write import buffer as buffer_module
from logcommon.write.batch import Batch
from logcommon.write.buffer import Buffer
from logcommon.write.fold import OVERFLOW
from support.clock import NOON, HandClock

API = Destination("api", "info")


def make(clock: HandClock, **settings: int) -> Buffer:
    return Buffer(Settings(clock=clock, **settings))  # type: ignore[arg-type]


def drained(buffer: Buffer, size: int, *, last: bool = False) -> list[Batch]:
    batches: list[Batch] = []
    buffer.seal(last=last)
    buffer.move(size, batches)
    return batches


def contents(batches: list[Batch]) -> dict[Group, Counter[str]]:
    found: dict[Group, Counter[str]] = {}
    for batch in batches:
        for group, messages in batch.counts.items():
            found.setdefault(group, Counter()).update(messages)
    return found


puts = st.tuples(st.just("put"), st.sampled_from("ab"), st.sampled_from("uvwxyz"))
operations = st.lists(
    st.one_of(
        puts,
        st.tuples(st.just("turn"), st.integers(-2, 2)),
        st.tuples(st.just("drain"), st.integers(1, 4)),
    ),
    max_size=60,
)


@given(operations)
def test_totals_are_conserved_in_every_hour(steps: list[tuple[str, object, object]]) -> None:
    """Whatever the order of puts, drains and hour turns, each entry lands in its hour once."""
    clock, found_so_far, model = HandClock(), [], Counter[tuple[Group, str]]()
    buffer = make(clock)
    for kind, *arguments in steps:
        if kind == "put":
            name, message = map(str, arguments)
            buffer.put(name, message, "info")
            model[(Destination(name, "info"), clock.hour), message] += 1
        elif kind == "turn":
            clock.turn(arguments[0])  # type: ignore[arg-type]
        else:
            found_so_far += drained(buffer, arguments[0])  # type: ignore[arg-type]
    found_so_far += drained(buffer, 3)
    found = contents(found_so_far)
    assert {(group, m): n for group, messages in found.items() for m, n in messages.items()} == (
        model
    )
    assert buffer.numbers() == (model.total(), 0, 0, 0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=80),
    st.integers(1, 10),
)
def test_what_exceeds_a_bound_is_counted_as_other(
    entries: list[tuple[str, int]], limit: int
) -> None:
    """Distinct messages stay under the limit, and the rest is in `<other>`, in place."""
    clock = HandClock()
    buffer = make(clock, max_pending=limit)
    for name, message in entries:
        buffer.put(name, str(message), "info")
    found = contents(drained(buffer, 1000))
    names = Counter(name for name, _ in entries)
    assert {group[0].name: messages.total() for group, messages in found.items()} == names
    distinct = sum(len(messages.keys() - {OTHER}) for messages in found.values())
    assert distinct == min(limit, len(set(entries)))


def test_a_batch_has_a_bounded_number_of_messages(clock: HandClock) -> None:
    """A drain is cut into batches of the size asked for, older hours first."""
    buffer = make(clock)
    for turn in (0, -1):
        clock.turn(turn)
        for message in range(5):
            buffer.put("api", str(message), "info")
    batches = drained(buffer, 4)
    assert [sum(map(len, batch.counts.values())) for batch in batches] == [4, 4, 2]
    assert [hour for batch in batches for _, hour in batch.counts] == [
        NOON - 1,
        NOON - 1,
        NOON,
        NOON,
    ]


def test_entries_of_two_hours_in_one_fold(
    clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hour is each entry's own, also where many are counted at once."""
    monkeypatch.setattr(buffer_module, "_FOLD_AT", 10)
    buffer = make(clock)
    for turn in (0, 0, 1, -1, 0, 1, 0, -1, 1, 0, 0):
        clock.turn(turn)
        buffer.put("api", "m", "info")
    found = contents(drained(buffer, 100))
    assert found == {(API, NOON): Counter(m=5), (API, NOON + 1): Counter(m=6)}


def test_spellings_of_a_severity_are_one_destination(clock: HandClock) -> None:
    """A level, its name and its name in capitals are counted together."""
    buffer = make(clock)
    for severity in (20, "info", "INFO", 20):
        buffer.put("api", "m", severity)
    assert contents(drained(buffer, 100)) == {(API, NOON): Counter(m=4)}


def test_one_destination_too_many_is_counted_in_other(clock: HandClock) -> None:
    """Past the limit of destinations calls are counted in `<other>`; those known go on."""
    buffer = make(clock, max_destinations=2)
    for name in ("a", "b", "c", "d", "a"):
        buffer.put(name, "m", "info")
    found = contents(drained(buffer, 100))
    assert found == {
        (Destination("a", "info"), NOON): Counter(m=2),
        (Destination("b", "info"), NOON): Counter(m=1),
        (OVERFLOW, NOON): Counter({OTHER: 2}),
    }


def test_the_newest_hundred_are_kept_in_order(clock: HandClock) -> None:
    """A batch carries the newest 100 entries of both kinds, oldest first."""
    buffer = make(clock)
    for number in range(300):
        clock.now += 1
        put = buffer.put if number % 2 else buffer.put_recent
        put("api", str(number), "info")
    (batch,) = drained(buffer, 1000)
    assert [message for message, _ in batch.recent[API]] == [str(n) for n in range(200, 300)]
    assert buffer.numbers() == (150, 150, 0, 0)


def test_a_long_message_is_cut(clock: HandClock) -> None:
    """Both calls cut a message to the limit before it is kept."""
    buffer = make(clock, max_message_bytes=16)
    buffer.put("api", "é" * 100, "info")
    buffer.put_recent("api", "é" * 100, "info")
    (batch,) = drained(buffer, 10)
    assert batch.counts == {(API, NOON): {"éééééé…": 1}}
    assert [message for message, _ in batch.recent[API]] == ["éééééé…"] * 2


@pytest.mark.parametrize(
    "arguments",
    [("", "m", "info"), ("api", b"m", "info"), ("api", "m", None), ([], "m", "info"), (1, "m", 2)],
)
def test_bad_input_changes_nothing(clock: HandClock, arguments: tuple[str, str, str]) -> None:
    """A call that can't be accepted raises at once and is not counted."""
    buffer = make(clock)
    for put in (buffer.put, buffer.put_recent):
        with pytest.raises(InvalidArgumentError):
            put(*arguments)
    assert drained(buffer, 10) == []
    assert buffer.numbers() == (0, 0, 0, 0)


def test_a_put_wakes_only_a_writer_that_asked(clock: HandClock) -> None:
    """The writer is woken by the first put after it went to sleep, and by no other."""
    woken: list[int] = []
    buffer = Buffer(Settings(clock=clock))
    buffer.open(lambda: woken.append(1))
    buffer.put("api", "m", "info")
    assert not woken
    assert not buffer.request_wake(), "it must not sleep on a pending entry"
    drained(buffer, 10)
    assert buffer.request_wake()
    buffer.put("api", "m", "info")
    buffer.put_recent("api", "m", "info")
    assert len(woken) == 1


def test_a_half_full_buffer_wakes_the_writer(clock: HandClock) -> None:
    """Half full, the buffer asks for a drain even while the writer lingers."""
    woken: list[int] = []
    buffer = make(clock, max_pending=1000)
    buffer.open(lambda: woken.append(1))
    half_full = []
    for first, end in ((0, 500), (500, 512)):
        for number in range(first, end):
            buffer.put("api", str(number), "info")
        half_full.append(buffer.is_half_full)
    assert half_full == [False, True]
    assert woken


def test_memory_is_in_proportion_to_distinct_messages(clock: HandClock) -> None:
    """A hundred thousand calls of one message leave one count and a few hundred entries."""
    buffer = make(clock)
    for _ in range(100_000):
        buffer.put("api", "m", "info")
    assert len(buffer._tallies[API].common) < buffer_module._FOLD_AT
    assert sum(map(len, buffer._pending._counts.values())) == 1


def test_after_the_close_calls_are_counted_as_dropped(clock: HandClock) -> None:
    """A late call is neither kept nor lost silently."""
    buffer = make(clock)
    buffer.put("api", "m", "info")
    assert contents(drained(buffer, 10, last=True)) == {(API, NOON): Counter(m=1)}
    for _ in range(1000):
        buffer.put("api", "m", "info")
    assert buffer.numbers() == (1001, 0, 1000, 0)
    assert drained(buffer, 10) == []


def test_threads_lose_nothing(clock: HandClock) -> None:
    """Eight threads that put while another drains are counted exactly."""
    buffer, done = make(clock), threading.Event()
    batches: list[Batch] = []

    def log() -> None:
        for number in range(20_000):
            buffer.put("api", str(number % 7), "info")

    def drain() -> None:
        while not done.is_set():
            buffer.seal()
            buffer.move(100, batches)

    threads = [threading.Thread(target=log) for _ in range(8)]
    drainer = threading.Thread(target=drain)
    for thread in (*threads, drainer):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    drainer.join()
    buffer.seal()
    buffer.move(100, batches)
    model = Counter({str(n): 8 * len(range(n, 20_000, 7)) for n in range(7)})
    assert contents(batches) == {(API, NOON): model}
    assert buffer.numbers()[0] == 160_000


def test_nothing_is_kept_of_what_redact_takes_out(clock: HandClock) -> None:
    """Both calls keep what the hook returns, and a hook that raises harms no caller."""

    def redact(message: str) -> str:
        if message == "fault":
            raise ValueError(message)
        return message.replace("secret", "***")

    buffer = Buffer(Settings(clock=clock, redact=redact))
    for message in ("a secret", "fault"):
        buffer.put("api", message, "info")
        buffer.put_recent("api", message, "info")
    (batch,) = drained(buffer, 10)
    kept = {"a ***", "<not logged: redact raised ValueError>"}
    assert batch.counts[API, NOON].keys() == kept
    assert {message for message, _ in batch.recent[API]} == kept


def test_a_hook_that_logs_ends(clock: HandClock) -> None:
    """What `redact` logs itself, over the same client, is not redacted and logged for ever."""

    def redact(message: str) -> str:
        buffer.put("api", f"redacting {message}")
        return "redacted"

    buffer = Buffer(Settings(clock=clock, redact=redact))
    buffer.put("api", "secret")
    (batch,) = drained(buffer, 10)
    mark = "<not logged: redact logged it>"
    assert batch.counts[API, NOON] == {mark: 1, "redacted": 1}


def test_redact_is_never_given_a_message_of_ten_megabytes(clock: HandClock) -> None:
    """The hook sees a bounded beginning of a long message, and the cut is marked all the same."""
    seen: list[int] = []

    def redact(message: str) -> str:
        seen.append(len(message))
        return "short"

    buffer = Buffer(Settings(clock=clock, redact=redact, max_message_bytes=100))
    buffer.put("api", "x" * 10_000_000)
    buffer.put_recent("api", "x" * 10_000_000, "info")
    assert seen == [400, 400]
    assert contents(drained(buffer, 10)) == {(API, NOON): Counter({"short…": 1})}


class Hostile(str):
    """A string whose methods are not to be trusted."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def encode(self, *arguments: str) -> bytes:
        raise RuntimeError


def test_messages_are_plain_strings_from_the_start(clock: HandClock) -> None:
    """What a subclass of `str` makes of hashing and encoding harms neither caller nor writer."""
    buffer = make(clock)
    buffer.put("api", Hostile("m"), "info")
    buffer.put_recent("api", Hostile("r"), Hostile("INFO"))
    (batch,) = drained(buffer, 10)
    assert batch.counts == {(API, NOON): {"m": 1}}
    kept = [message for message, _ in batch.recent[API]]
    assert kept == ["m", "r"]
    assert {type(message) for message in (*batch.counts[API, NOON], *kept)} == {str}


@pytest.mark.parametrize(
    "time", [float("nan"), float("inf"), -1.0, None, "now", 253_402_300_800.0, 1e300]
)
def test_a_clock_that_returns_no_time_is_refused_at_once(time: float) -> None:
    """The caller gets the error, nothing is accepted, and nothing behind it is held up."""
    times = [NOON * 3600.0, time, NOON * 3600]
    buffer = Buffer(Settings(clock=lambda: times.pop()))
    buffer.put("api", "an integer will do", "info")
    with pytest.raises(InvalidArgumentError, match="clock must return seconds"):
        buffer.put("api", "m", "info")
    buffer.put("api", "m", "info")
    assert buffer.numbers() == (2, 0, 0, 2)


def test_many_destinations_share_the_memory(clock: HandClock) -> None:
    """Entries that are not folded, and recent ones, have a bound over all destinations together."""
    buffer = make(clock, max_pending_bytes=100_000, max_message_bytes=100)
    for number in range(50_000):
        buffer.put(f"service {number % 500}", f"{number} {'x' * 80}", "info")
    most = 100_000 // (100 + 200)
    assert sum(map(len, buffer._unfolded)) < most
    assert sum(map(len, buffer._pending._recent.values())) <= 500
    assert buffer._pending._totals.usage.size <= 100_000
    assert buffer.numbers() == (50_000, 0, 0, 50_000)


def test_few_destinations_keep_their_newest_hundred(clock: HandClock) -> None:
    """The bound on memory takes nothing from the recent log of an ordinary service."""
    buffer = make(clock)
    for number in range(20_000):
        buffer.put(f"service {number % 100}", str(number), "info")
    (batch, *_) = drained(buffer, 30_000)
    assert {len(entries) for entries in batch.recent.values()} == {100}
