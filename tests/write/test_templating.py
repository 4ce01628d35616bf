"""Messages become templates as they leave the buffer."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logcommon.model import OTHER, Destination, FixedText
from logcommon.settings import Settings
from logcommon.stats import Ledger
from logcommon.write.backlog import Backlog
from logcommon.write.batch import Batch, merge, separate_failing
from logcommon.write.buffer import Buffer
from logcommon.write.reporter import Reporter
from logcommon.write.templating import Templating
from support.clock import NOON, HandClock

API = Destination("api", "info")


def digits(message: str) -> str:
    """Replace each digit."""
    return "".join("#" if each.isdigit() else each for each in message)


def make(template: Callable[[str], str] = digits, **settings: int) -> Buffer:
    return Buffer(Settings(clock=HandClock(), template=template, **settings))  # type: ignore[arg-type]


def drained(buffer: Buffer) -> Batch:
    batches: list[Batch] = []
    buffer.seal()
    buffer.move(1_000_000, batches)
    return merge(batches)


def test_messages_are_counted_as_their_template() -> None:
    """The counts are those of the template, with an example; the recent log has the messages."""
    buffer = make()
    for message in ("user 1", "user 2", "hello"):
        buffer.put("api", message)
    batch = drained(buffer)
    assert batch.counts == {(API, NOON): {"user #": 2, "hello": 1}}
    assert batch.examples == {(API, NOON): {"user #": "user 2"}}
    assert [message for message, _ in batch.recent[API]] == ["user 1", "user 2", "hello"]


def test_a_template_is_not_touched_again() -> None:
    """What is a template already is counted as it is, whether it is redacted or not."""
    buffer = make()
    buffer.put("api", FixedText("status 200"))
    buffer.put("api", "status 404")
    assert drained(buffer).counts == {(API, NOON): {"status 200": 1, "status ###": 1}}

    redacting = Buffer(Settings(clock=HandClock(), template=digits, redact=str.upper))
    redacting.put("api", FixedText("status 200"))
    redacting.put("api", "status 404")
    assert drained(redacting).counts == {(API, NOON): {"STATUS 200": 1, "STATUS ###": 1}}


def test_redacting_comes_first_and_cutting_last() -> None:
    """The hook is given the whole redacted message; its template and example are cut."""
    seen: list[str] = []

    def template(message: str) -> str:
        seen.append(message)
        return digits(message)

    settings = Settings(
        clock=HandClock(), template=template, redact=str.upper, max_message_bytes=16
    )
    buffer = Buffer(settings)
    buffer.put("api", "abc 1 " * 5)
    batch = drained(buffer)
    assert seen == ["ABC 1 " * 5]
    assert batch.counts == {(API, NOON): {"ABC # ABC # A…": 1}}
    assert batch.examples == {(API, NOON): {"ABC # ABC # A…": "ABC 1 ABC 1 A…"}}
    assert [message for message, _ in batch.recent[API]] == ["ABC 1 ABC 1 A…"]


@pytest.mark.parametrize("max_pending", [2, 8, 1_000])
def test_a_flood_of_one_template_is_one_member(max_pending: int) -> None:
    """Even if the event loop never runs, no message becomes `<other>` and memory is bounded."""
    buffer = make(max_pending=max_pending)
    for number in range(20_000):
        buffer.put("api", f"user {number:05}")
    assert drained(buffer).counts == {(API, NOON): {"user #####": 20_000}}


def test_a_flood_of_templates_is_bounded() -> None:
    """If there are too many templates as well, the rest is `<other>`."""
    buffer = make(max_pending=10)
    for number in range(5_000):
        buffer.put("api", f"{'x' * (number % 50)} {number}")
    counts = drained(buffer).counts[API, NOON]
    assert len(counts) == 11
    assert (counts[OTHER] > 0, sum(counts.values())) == (True, 5_000)


def test_each_message_is_computed_once() -> None:
    """A template is remembered, and learning ahead leaves nothing for the move to compute."""
    seen: list[str] = []

    def template(message: str) -> str:
        seen.append(message)
        return digits(message)

    buffer = make(template)
    for _ in range(2):
        for number in range(10):
            buffer.put("api", f"user {number}")
        list(buffer.learn_templates())
        assert len(seen) == 10
        drained(buffer)
    assert len(seen) == 10


def test_what_was_learned_is_known_until_the_move() -> None:
    """Of more messages than are remembered, none is computed again when they are moved."""
    seen: list[str] = []

    def template(message: str) -> str:
        seen.append(message)
        return digits(message)

    buffer = make(template, max_pending=20_000)
    for number in range(9_000):
        buffer.put("api", f"user {number}")
    list(buffer.learn_templates())
    list(buffer.learn_templates())
    assert drained(buffer).calls == len(seen) == 9_000
    buffer.put("api", "user 0")
    drained(buffer)
    assert len(seen) == 9_001


async def test_what_is_logged_while_templates_are_computed_waits() -> None:
    """However fast others log, the templates of what is moved have been computed in steps."""

    def template(message: str) -> str:
        if message == "first":
            buffer.put("api", "second")
        return message

    buffer = make(template)
    between = Backlog(buffer, Reporter(Ledger(), Settings()), None)
    buffer.put("api", "first")
    await between.drain_buffer(last=False)
    assert between.first.counts == {(API, NOON): {"first": 1}}
    assert buffer.numbers().pending == 1


def test_learning_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing templates stops after a millisecond, however many there are."""
    clock = HandClock()
    monkeypatch.setattr("time.perf_counter", clock)

    def template(message: str) -> str:
        clock.now += 0.0004
        return digits(message)

    templating = Templating(template, 100)
    steps = sum(1 for _ in templating.learn(f"m{number}" for number in range(30)))
    assert steps == 10


def test_what_is_remembered_is_bounded() -> None:
    """After very many messages the newest are still remembered."""
    seen: list[str] = []

    def template(message: str) -> str:
        seen.append(message)
        return message

    templating = Templating(template, 1_024)
    for number in range(100_000):
        templating.template_of(str(number))
    templating.template_of("99999")
    assert (len(seen), len(templating._known) <= 20_000) == (100_000, True)


def test_a_hook_that_fails_changes_nothing() -> None:
    """If the hook raises, the message is counted as it is; so is what it logs itself."""

    def template(message: str) -> str:
        buffer.put("api", "from the hook 1")
        raise ValueError(message)

    buffer = make(template)
    buffer.put("api", "user 1")
    assert drained(buffer).counts == {(API, NOON): {"user 1": 1}}
    assert drained(buffer).counts == {(API, NOON): {"from the hook 1": 1}}


def test_a_hook_that_calls_itself_ends() -> None:
    """A hook that asks for a template gets the message."""
    templating = Templating(lambda message: templating.template_of(message + "!"), 100)
    assert templating.template_of("a") == "a!"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), max_size=80))
def test_totals_are_conserved(calls: list[tuple[str, int]]) -> None:
    """However little room there is, the sums of templates and `<other>` are the calls."""
    buffer = make(max_pending=3)
    for name, number in calls:
        buffer.put(name, f"{'x' * (number % 4)}{number}")
        if number % 7 == 0:
            buffer._fold_all()
    found: Counter[str] = Counter()
    batches: list[Batch] = []
    buffer.seal()
    buffer.move(2, batches)
    for batch in batches:
        for (destination, _), messages in batch.counts.items():
            found[destination.name] += sum(messages.values())
            assert batch.examples.get((destination, NOON), {}).keys() <= messages.keys()
    assert found == Counter(name for name, _ in calls)


def test_examples_go_with_their_messages() -> None:
    """Batches that are merged or separated keep the examples of what they have."""
    group = (API, NOON)
    one = Batch({group: {"a#": 1}}, examples={group: {"a#": "a1"}}, number=1)
    two = Batch({group: {"a#": 2, "b#": 1}}, examples={group: {"a#": "a2", "b#": "b1"}}, number=2)
    both = merge([one, two])
    assert both.examples == {group: {"a#": "a2", "b#": "b1"}}

    def check(batch: Batch) -> None:
        if "b#" in batch.counts.get(group, {}):
            raise ValueError

    good, bad = separate_failing(both, check)
    assert (good.examples, bad.examples) == ({group: {"a#": "a2"}}, {group: {"b#": "b1"}})
    assert both.size > Batch(both.counts).size
