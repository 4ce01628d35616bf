"""Batches between the buffer and Redis, without a server: their numbers and their account."""

from typing import Any

import pytest

from logcommon.settings import Settings
from logcommon.stats import Outcome
from logcommon.write.backlog import Backlog
from logcommon.write.batch import BATCH_SIZE
from logcommon.write.buffer import Buffer
from support.writing import reporter_of


class Drained:
    """A backlog, and the buffer that it drains."""

    def __init__(self) -> None:
        self.buffer = Buffer(Settings())
        self.buffer.open(lambda: None)
        self.reporter = reporter_of()
        self.backlog = Backlog(self.buffer, self.reporter, None)

    async def log(self, *messages: str) -> None:
        for message in messages:
            self.buffer.put("api", message, "info")
        await self.backlog.drain_buffer(last=False)


async def test_batches_are_numbered_in_order() -> None:
    """A drain of many messages becomes several batches, and numbers go on with the next drain."""
    drained = Drained()
    await drained.log(*map(str, range(BATCH_SIZE + 1)))
    await drained.log("m")
    batches: Any = drained.backlog.read_step()()
    assert [(batch.number, batch.edition, batch.calls) for batch in batches] == [
        (1, 1, BATCH_SIZE),
        (2, 1, 1),
        (3, 2, 1),
    ]
    assert len({batch.producer for batch in batches}) == 1


async def test_a_settled_batch_is_accounted_for() -> None:
    """It leaves the backlog in the same moment as its calls enter the ledger."""
    drained = Drained()
    await drained.log("a", "b")
    drained.backlog.remove_first(Outcome(counted=1, other=1))
    ledger = drained.reporter.ledger
    assert (drained.backlog.calls, ledger.counted, ledger.other) == (0, 1, 1)
    assert not drained.backlog


async def test_a_batch_in_doubt_ends_its_producer() -> None:
    """If another process writes under our id, the batches that follow get a new one."""
    drained = Drained()
    await drained.log("a")
    before = drained.backlog.first.producer
    drained.backlog.remove_first(Outcome(in_doubt=1))
    await drained.log("b")
    assert drained.backlog.first.producer != before


@pytest.mark.parametrize("in_doubt", [True, False])
async def test_a_close_drops_what_is_left(in_doubt: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Without a spool it is counted as unwritten, the first batch perhaps as in doubt; it warns."""
    drained = Drained()
    await drained.log("a", "a")
    drained.buffer.put("api", "b", "info")
    await drained.backlog.close(in_doubt=in_doubt)

    ledger = drained.reporter.ledger
    assert (ledger.dropped_unwritten, ledger.in_doubt) == (3, 2 * in_doubt)
    assert drained.buffer.is_closed
    assert "3 entries" in caplog.text


async def test_a_close_with_nothing_left_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is warned of nothing."""
    drained = Drained()
    await drained.backlog.close(in_doubt=False)
    assert not caplog.messages
