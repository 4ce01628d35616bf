"""Batches are sent until Redis has them, and each counts once."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import ClusterDownError

from logcommon.exceptions import ClusterUnsupportedError
from logcommon.model import OTHER
from logcommon.schema.keys import marker_key
from logcommon.settings import Settings
from logcommon.stats import Ledger, Outcome
from logcommon.write import committer as committer_module
from logcommon.write.batch import Batch
from logcommon.write.commit_connection import CommitConnection
from logcommon.write.committer import Committer
from logcommon.write.reporter import Reporter
from logcommon.write.watch import Marker
from support.clock import NOON
from support.layout import read_counts
from support.network import Fault, Network
from support.until import until
from support.writing import API, API_NOON, WEB, batch_of, run

MARKER = marker_key("p")


class Commits:
    """A committer behind a network that a test controls."""

    def __init__(self, **settings: Any) -> None:
        server = FakeServer()
        self.network = Network(server)
        self.redis = FakeAsyncRedis(server=server)
        self.ledger = Ledger()
        checked = Settings(**{"max_clock_lead": float("inf"), **settings})
        reporter = Reporter(self.ledger, checked)
        self.committer = Committer(self.network.client(), checked, reporter, "ab", {"ab"})

    async def commit(self, *batches: Batch) -> list[Outcome]:
        return [await self.committer.commit(batch) for batch in batches]

    async def counts(self) -> Counter[str]:
        return (await read_counts(self.redis)).get(NOON, Counter())


def test_a_commit_sets_the_marker() -> None:
    """A batch is counted in one transaction, which leaves its number in the marker."""
    commits = Commits()

    async def check() -> None:
        outcomes = await commits.commit(batch_of(1, "ab"), batch_of(2, "b"))
        assert outcomes == [Outcome(counted=2), Outcome(counted=1)]
        assert await commits.counts() == Counter(a=1, b=2)
        assert Marker.read(await commits.redis.get(MARKER)) == Marker(2, 1, "ab")

    run(check())
    assert (commits.ledger.commits, commits.ledger.connects) == (2, 1)


@pytest.mark.parametrize("fault", ["cut before", "drop reply", "no answer", "deliver meanwhile"])
def test_a_lost_reply_counts_once(fault: Fault) -> None:
    """Whether or not the transaction was executed, the marker settles it."""
    commits = Commits()
    commits.network.faults.extend([fault, fault])
    run(commits.commit(batch_of(1, "ab"), batch_of(2, "b")))
    assert run(commits.counts()) == Counter(a=1, b=2)
    assert commits.ledger.lost_connections + commits.ledger.timeouts == 2


def test_a_cancelled_commit_goes_on_where_it_was() -> None:
    """A batch whose commit was cancelled in doubt is given again, and counts once."""
    commits, batch = Commits(), batch_of(1)

    async def check() -> None:
        commits.network.faults.append("no answer")
        committing = asyncio.create_task(commits.commit(batch))
        await until(lambda: commits.network.broken)
        committing.cancel()
        await asyncio.wait([committing])
        in_doubt = [commits.committer.in_doubt]
        assert await commits.commit(batch) == [Outcome(counted=1)]
        assert [*in_doubt, commits.committer.in_doubt] == [True, False]
        assert await commits.counts() == Counter(m=1)

    run(check())


def test_another_producer_that_turns_the_hour() -> None:
    """A watched key that changes aborts the transaction, which is decided again at once."""
    commits = Commits()

    async def turn() -> None:
        await commits.redis.set("common:api:info:start", "2026-05-27T12:00:00")

    async def check() -> None:
        commits.network.before_next = turn
        await commits.commit(batch_of(1))
        assert await commits.counts() == Counter(m=1)

    run(check())
    assert (commits.ledger.commits, commits.ledger.aborts) == (1, 1)


def test_a_full_set_is_inspected() -> None:
    """Past the limit a message that the set has goes on, and a new one counts as `<other>`."""
    commits = Commits(max_members=2)
    outcomes = run(commits.commit(batch_of(1, "ab"), batch_of(2, "bc")))
    assert outcomes[1] == Outcome(counted=1, other=1)
    assert run(commits.counts()) == Counter({"a": 1, "b": 2, OTHER: 1})


def test_a_key_of_the_wrong_type_costs_its_destination() -> None:
    """The other destinations of the batch are counted."""
    commits = Commits()

    async def check() -> None:
        await commits.redis.set("common:web:info", "not a set")
        batch = Batch({API_NOON: {"a": 1}, (WEB, NOON): {"b": 2}}, number=1, producer="p")
        (outcome,) = await commits.commit(batch)
        assert (outcome.counted, outcome.refused) == (1, 2)
        assert outcome.errors.keys() == {(WEB, NOON)}
        assert await commits.redis.get("common:web:info") == b"not a set"

    run(check())


def test_an_overwritten_marker_is_put_right() -> None:
    """While nothing is in doubt it is known what the marker was."""
    commits = Commits()

    async def check() -> None:
        await commits.commit(batch_of(1))
        await commits.redis.set(MARKER, "not ours")
        await commits.commit(batch_of(2))
        # The first attempt was aborted: the marker was watched.
        assert Marker.read(await commits.redis.get(MARKER)) == Marker(2, 2, "ab")
        assert await commits.counts() == Counter(m=2)

    run(check())


def test_pauses_get_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server is away, attempts become rare, and never stop."""
    commits, pauses = Commits(), list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 10:
            commits.network._is_cut_off = False

    monkeypatch.setattr(committer_module.anyio, "sleep", sleep)  # type: ignore[attr-defined]
    monkeypatch.setattr(committer_module.random, "uniform", lambda _, most: most)  # type: ignore[attr-defined]
    commits.network.end(None)
    run(commits.commit(batch_of(1)))
    assert pauses == [min(0.02 * 2**number, 1) for number in range(10)]
    assert commits.ledger.lost_connections == 10


def test_a_cluster_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying again would not help, so whoever commits is told."""

    async def watch(*_: object) -> None:
        raise ClusterDownError("CLUSTERDOWN the cluster is down")

    monkeypatch.setattr(CommitConnection, "watch", watch)
    with pytest.raises(ClusterUnsupportedError):
        run(Commits().commit(batch_of(1)))


@pytest.mark.parametrize("delete_marker", [True, False])
def test_a_close_may_delete_the_marker(delete_marker: bool) -> None:
    """It is of no use any more, unless a spool may still have batches of this producer."""
    commits = Commits()

    async def check() -> None:
        await commits.commit(batch_of(1))
        await commits.committer.close(delete_marker=delete_marker)
        assert await commits.redis.exists(MARKER) == (not delete_marker)

    run(check())


def test_a_close_in_doubt_keeps_the_marker() -> None:
    """Deleting it would let an EXEC that is still under way count what was given up."""
    commits = Commits(commit_timeout=1)

    async def check() -> None:
        await commits.commit(batch_of(1))
        commits.network.faults.append("no answer")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await commits.commit(batch_of(2))
        await commits.committer.close(delete_marker=True)
        assert await commits.redis.exists(MARKER)

    run(check())


def test_a_batch_of_another_producer() -> None:
    """Each producer has a marker of its own, so numbers may begin again."""
    commits = Commits()

    async def check() -> None:
        other = Batch({API_NOON: {"m": 1}}, {API: [("m", NOON * 3600.0)]}, number=1, producer="q")
        await commits.commit(batch_of(1), other)
        assert await commits.counts() == Counter(m=2)
        assert Marker.read(await commits.redis.get(marker_key("q"))) == Marker(1, 1, "ab")

    run(check())


def test_a_refused_wait_is_tried_again() -> None:
    """Without permission for WAIT the batch is counted once, and its call goes on waiting."""
    commits = Commits(wait_replicas=1)  # the imitation of Redis has no WAIT

    async def check() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await commits.commit(batch_of(1))
        assert commits.ledger.refusals > 1
        assert await commits.counts() == Counter(m=1)

    run(check())


def test_a_commit_found_in_redis_waits_for_replicas_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose reply was lost is settled once enough replicas have it, not before."""
    commits, answers = Commits(wait_replicas=1), [False, True]
    monkeypatch.setattr(Committer, "_check_replicas", lambda *_: answers.pop(0))
    commits.network.faults.append("drop reply")
    assert run(commits.commit(batch_of(1))) == [Outcome(counted=1)]
    assert answers == []
    assert run(commits.counts()) == Counter(m=1)
