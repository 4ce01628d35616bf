"""The JSON under `api/` and the stream: as the schema says, equal to what is in Redis, shared."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from redis.asyncio import Redis

import logcommon
from logcommon.dashboard import app, feeds
from logcommon.dashboard.application import SCHEMA
from logcommon.dashboard.feeds import Event, Feeds, Viewer
from logcommon.dashboard.server import serving
from logcommon.dashboard.views import PARTS, View
from support.servers import NOWHERE

SCHEMAS = json.loads(SCHEMA.read_text())
NASTY = "<script>alert(1)</script> \x1b[2J \u202e"


def validate(name: str, document: Any) -> None:
    schema = {"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]}
    Draft202012Validator(schema).validate(document)


async def put(log: logcommon.CommonLog, count: int, message: str, severity: str = "info") -> None:
    for _ in range(count):
        log.log_common_nowait("shop", message, severity)
    await log.flush()


async def fill(log: logcommon.CommonLog, url: str) -> None:
    """Log over two hours, with a mark, mutes, merged templates and hostile text."""
    await put(log, 30, "order 17 taken")
    for user in ("alice", "bob", "carol"):
        await put(log, 3, f"user {user} paid order 5")
    await put(log, 5, NASTY, "error")
    await log.mark("v1")
    await log.mute("order <num> taken")
    before = log.settings.clock() - 3_600
    async with logcommon.connect(url, clock=lambda: before) as older:
        await put(older, 400, "gone since")


MESSAGE = {"message": "user <*> paid order <num>", "in_name": "shop", "in_severity": "info"}


@pytest.mark.parametrize("name", PARTS)
async def test_documents_are_as_the_schema_says(
    http: httpx.AsyncClient, log: logcommon.CommonLog, valkey_url: str, name: str
) -> None:
    """Of an empty server as well as of a full one, and of a message that nobody knows."""
    for _ in range(2):
        for parameters in ({}, MESSAGE, MESSAGE | {"message": "unknown"}):
            if name == "message" and not parameters:
                continue
            answer = await http.get(f"api/{name}", params=parameters)
            assert answer.status_code == 200
            validate(name, answer.json())
        await fill(log, valkey_url)


async def test_a_summary_is_what_was_logged(
    http: httpx.AsyncClient, log: logcommon.CommonLog, valkey_url: str
) -> None:
    """Counts, filters and numbers of rows."""
    await fill(log, valkey_url)
    found = (await http.get("api/summary")).json()
    assert (found["calls"], found["messages"]) == (44, 3)
    assert [(row["count"], row["merged"], row["muted"]) for row in found["rows"]] == [
        (30, 0, True),
        (9, 3, False),
        (5, 0, False),
    ]
    assert found["rows"][2]["message"].startswith("<script>")

    found = (await http.get("api/summary", params={"text": "PAID", "rows": 1})).json()
    assert [row["count"] for row in found["rows"]] == [9]
    found = (await http.get("api/summary", params={"rows": 1})).json()
    assert (len(found["rows"]), found["messages"]) == (1, 3)
    found = (await http.get("api/summary", params={"severity": "error"})).json()
    assert [row["count"] for row in found["rows"]] == [5]

    hour = (await http.get("api/destinations")).json()["hours"][1]
    found = (await http.get("api/summary", params={"hour": hour})).json()
    assert [row["message"] for row in found["rows"]] == ["gone since"]


async def test_a_message_looked_at_closely(
    http: httpx.AsyncClient, log: logcommon.CommonLog, valkey_url: str
) -> None:
    """Its series, an example, what was merged, and until when it is muted."""
    await fill(log, valkey_url)
    found = (await http.get("api/message", params=MESSAGE)).json()
    assert found["row"]["example"].startswith("user ")
    assert sum(each["count"] for each in found["merged"]) == 9
    assert sum(each["count"] for each in found["series"]) == 9
    known = MESSAGE | {"message": "order <num> taken"}
    found = (await http.get("api/message", params=known)).json()
    assert found["mute"]["until"] is not None


async def test_activity_and_changes(
    http: httpx.AsyncClient, log: logcommon.CommonLog, valkey_url: str
) -> None:
    """Calls by severity of hours and minutes, marks, and what has changed."""
    await fill(log, valkey_url)
    found = (await http.get("api/activity")).json()
    assert sum(sum(each["calls"].values()) for each in found["hours"]) == 444
    assert sum(each["calls"].get("error", 0) for each in found["minutes"]) == 5
    assert [mark["text"] for mark in found["marks"]] == ["v1"]
    found = (await http.get("api/changes")).json()
    assert {each["message"]: each["kind"] for each in found["changes"]}["gone since"] == "gone"


@pytest.mark.parametrize(
    "parameters",
    [
        {"rows": "0"},
        {"rows": "1001"},
        {"rows": "x"},
        {"rows": "\u0663"},
        {"hour": "yesterday"},
        {"hour": "0001-01-01T00:00:00+14:00"},
        {"name": "x" * 300},
        {"message": "m"},
        {"message": "m", "in_name": "shop"},
    ],
)
@pytest.mark.parametrize("path", ["api/summary", "api/stream"])
async def test_parameters_that_cannot_be_used(
    http: httpx.AsyncClient, parameters: dict[str, str], path: str
) -> None:
    """They are refused with a text."""
    answer = await http.get(path, params=parameters)
    assert answer.status_code == 400
    validate("problem", answer.json())


async def test_other_requests(http: httpx.AsyncClient) -> None:
    """There is no other document, and nothing can be written; the schema itself is served."""
    assert (await http.get("api/message")).status_code == 400
    assert (await http.get("api/nothing")).status_code == 404
    assert (await http.post("api/summary")).status_code == 405
    assert (await http.get("api/schema")).json() == SCHEMAS


async def test_metrics(http: httpx.AsyncClient, valkey_url: str, now: float) -> None:
    """Calls of each destination, and the counts of the most common messages, of this hour."""
    async with logcommon.connect(valkey_url, clock=lambda: now - 7_200) as older:
        await put(older, 2, "old")
    text = (await http.get("metrics")).text
    assert "logcommon_message_count_total{" not in text

    async with logcommon.connect(valkey_url, clock=lambda: now - 3_600) as older:
        await put(older, 3, "steady")
    async with logcommon.connect(valkey_url, clock=lambda: now) as plain:
        await put(plain, 3, "steady")
        await put(plain, 3, 'a "quoted"\nmessage', "error")
    answer = await http.get("metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'logcommon_calls_total{name="shop",severity="error"} 3.0' in answer.text
    labels = r'message="a \"quoted\"\nmessage",name="shop",severity="error"'
    assert f"logcommon_message_count_total{{{labels}}} 3.0" in answer.text
    assert f"logcommon_message_at_least{{{labels}}}" in answer.text
    assert answer.text.count("logcommon_message_at_least{") == 1  # not of what is steady


class Events:
    """The events of a stream."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, *names: str) -> dict[str, Any]:
        """Return the next document with one of these names."""
        async with asyncio.timeout(30):
            async for line in self._lines:
                if line.removeprefix("event: ") in names:
                    data = await anext(self._lines)
                    return dict(json.loads(data.removeprefix("data: ")))
        raise AssertionError("the stream has ended")


async def test_a_stream_goes_on(http: httpx.AsyncClient, log: logcommon.CommonLog) -> None:
    """It begins with each document, sends what changes, and says that it is alive."""
    async with http.stream("GET", "api/stream", params=MESSAGE) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = Events(answer.aiter_lines())
        assert (await events.next("summary"))["rows"] == []
        await put(log, 3, "seen")
        while not (found := await events.next("summary"))["rows"]:
            pass
        assert found["rows"][0]["count"] == 3
        assert found["trouble"] is None
        assert datetime.now(UTC) - datetime.fromisoformat(found["at"]) < timedelta(minutes=1)


async def commands(valkey: Redis) -> int:
    """Return how many commands the server has executed that read anything."""
    stats = await valkey.info("commandstats")
    reading = ("cmdstat_zrevrange", "cmdstat_lrange", "cmdstat_hgetall", "cmdstat_smembers")
    return sum(int(stats[each]["calls"]) for each in reading if each in stats)


async def test_a_hundred_viewers_cost_what_one_costs(
    log: logcommon.CommonLog, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis gets no more commands, and none once nobody looks any more."""
    once = {name: part._replace(interval=3_600) for name, part in PARTS.items()}
    monkeypatch.setattr(feeds, "PARTS", once)
    await put(log, 3, "seen")

    async def opened() -> logcommon.CommonLog:
        return log

    async def look(shared: Feeds) -> AsyncGenerator[Event, None]:
        """Return a view of which every document was seen."""
        view = shared.watch(View())
        missing = set(PARTS) - {"message"}
        while missing:
            missing.discard((await anext(view)).name)
        return view

    costs = []
    for viewers in (1, 100):
        before, shared = await commands(valkey), Feeds(opened)
        views = await asyncio.gather(*(look(shared) for _ in range(viewers)))
        costs.append(await commands(valkey) - before)
        for each in views:
            await each.aclose()
        await asyncio.sleep(0)
        assert not [each for each in asyncio.all_tasks() if "dashboard" in each.get_name()]
    assert costs[0] == costs[1] > 0


async def test_different_views_share_what_they_have_in_common(log: logcommon.CommonLog) -> None:
    """The text that is searched for changes the messages alone."""

    async def opened() -> logcommon.CommonLog:
        return log

    shared = Feeds(opened)
    views = [shared.watch(View(text=text)) for text in "ab"]
    for each in views:
        await anext(each)
    assert len(shared._feeds) == len(PARTS)  # one more for the other text, none for a message
    for each in views:
        await each.aclose()


async def test_a_slow_viewer_holds_nobody_up() -> None:
    """It misses versions, and never has more waiting than one of each document."""
    viewer = Viewer()
    for version in range(1_000):
        viewer.put(Event("summary", str(version)))
        viewer.put(Event("recent", str(version)))
    async with aclosing(viewer.events()) as events:
        assert [await anext(events) for _ in range(2)] == [
            Event("summary", "999"),
            Event("recent", "999"),
        ]


async def test_a_viewer_hears_that_the_stream_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if nothing changes; it ends when the page is closed."""
    monkeypatch.setattr(feeds, "_ALIVE", 0.001)
    viewer = Viewer()
    async with aclosing(viewer.events()) as events:
        assert (await anext(events)).name == "alive"
        viewer.close()
        assert [event.name async for event in events] in ([], ["alive"])


async def test_pages_are_bounded(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that many different ones, a page is told to come later."""
    monkeypatch.setattr(feeds, "MOST_FEEDS", len(PARTS))
    async with http.stream("GET", "api/stream") as answer:
        await Events(answer.aiter_lines()).next("summary")
        refused = await http.get("api/stream", params={"text": "other"})
        assert refused.status_code == 503
        validate("problem", refused.json())


async def test_without_redis() -> None:
    """Documents and metrics say what is wrong, and so does the stream, which goes on."""
    async with (
        logcommon.connect(NOWHERE) as log,
        serving(log, "127.0.0.1", 0) as address,
        httpx.AsyncClient(base_url=address, timeout=30) as http,
    ):
        for path in ("api/summary", "metrics"):
            answer = await http.get(path)
            assert answer.status_code == 503
            assert "can't be reached" in answer.text
        async with http.stream("GET", "api/stream") as answer:
            found = await Events(answer.aiter_lines()).next("summary")
            assert "can't be reached" in found["trouble"]


async def test_an_error_that_nobody_expected(
    http: httpx.AsyncClient, log: logcommon.CommonLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so instead of standing still, and goes on once it is over."""
    faults = [KeyError("a secret message")]
    read = logcommon.CommonLog.summary

    async def summary(self: logcommon.CommonLog, *args: Any, **options: Any) -> Any:
        if faults:
            raise faults.pop()
        return await read(self, *args, **options)

    monkeypatch.setattr(logcommon.CommonLog, "summary", summary)
    async with http.stream("GET", "api/stream") as answer:
        events = Events(answer.aiter_lines())
        trouble = (await events.next("summary"))["trouble"]
        assert trouble.startswith("unexpected KeyError")
        assert "secret" not in trouble
        assert (await events.next("summary"))["trouble"] is None


async def test_a_client_in_the_background_or_a_url(valkey_url: str) -> None:
    """The page opens it when the first request comes."""
    with logcommon.background(valkey_url) as log:
        log.log_common_nowait("shop", "m")
        log.flush()
        for target in (log, valkey_url):
            transport = httpx.ASGITransport(app(target, guarded=True))
            async with httpx.AsyncClient(transport=transport, base_url="http://page") as http:
                assert (await http.get("/api/summary")).json()["calls"] == 1
