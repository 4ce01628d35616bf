"""What a record is counted as: its name, severity and message."""

import copy
import json
import logging
import logging.handlers
import queue
import sys
from collections import Counter
from typing import Any

from redis.asyncio import Redis

from logcommon.integrations.logging import CommonLogHandler
from support.api_logger import LOGGER, account, attached
from support.recorders import PLACE, counted, fail, failed


async def test_a_call_is_one_message(handler: CommonLogHandler, valkey: Redis) -> None:
    """The template is counted, whatever the arguments are, even if they don't fit."""
    for number in range(5):
        LOGGER.info("user %s has %d orders", "bob", number)
        LOGGER.info("user %(name)s", {"name": number})
    LOGGER.info("100%")
    record = logging.LogRecord("api", logging.INFO, "", 0, "too few %s %s", (1,), None)
    handler.handle(record)  # pytest's handlers, which put arguments in, would be in the way
    assert handler.stats.calls == 12
    handler.close()

    assert await counted(valkey, "api") == Counter(
        {"user %s has %d orders": 5, "user %(name)s": 5, "100%": 1, "too few %s %s": 1}
    )


async def test_name_and_severity_are_those_of_the_record(
    handler: CommonLogHandler, valkey: Redis
) -> None:
    """A logger is a service; a level of the application's own has the severity of its name."""
    logging.addLevelName(25, "NOTICE")
    LOGGER.debug("m")
    LOGGER.warning("m")
    LOGGER.critical("m")
    LOGGER.log(25, "m")
    LOGGER.log(7, "m")
    child = LOGGER.getChild("orders")
    child.error("m")
    handler.close()

    for severity in ("debug", "warning", "critical", "notice", "level%207"):
        assert await counted(valkey, "api", severity) == Counter(m=1)
    assert await counted(valkey, "api.orders", "error") == Counter(m=1)
    assert handler.stats.counted == 6


async def test_a_level_with_a_changed_name(handler: CommonLogHandler, valkey: Redis) -> None:
    """A formatter may colour the level's name in the record: the level itself is counted."""
    record = LOGGER.makeRecord("api", logging.INFO, "", 0, "m", (), None)
    record.levelname = "\x1b[32mINFO\x1b[0m"
    LOGGER.handle(record)
    handler.close()
    assert await counted(valkey, "api") == Counter(m=1)


async def test_one_service(valkey_url: str, valkey: Redis) -> None:
    """With `service` all loggers are counted under one name."""
    handler = attached(CommonLogHandler(valkey_url, service="shop"))
    LOGGER.info("m")
    LOGGER.getChild("orders").info("m")
    handler.close()
    assert await counted(valkey, "shop") == Counter(m=2)
    assert handler.stats.counted == 2


async def test_a_message_of_the_applications_own(valkey_url: str, valkey: Redis) -> None:
    """With `message`, the application chooses what a record is counted as."""
    handler = attached(CommonLogHandler(valkey_url, message=lambda record: record.args))  # type: ignore[arg-type,return-value]
    LOGGER.info("user %s", "bob")
    assert account(handler) == (1, 0)
    assert await counted(valkey, "api") == Counter({"('bob',)": 1})


async def test_names_that_are_too_long_or_missing(handler: CommonLogHandler, valkey: Redis) -> None:
    """A long name is cut, and a record without one is the root logger's."""
    for name in ("a" * 300, ""):
        handler.handle(logging.makeLogRecord({"name": name, "levelno": logging.INFO, "msg": "m"}))
    handler.close()
    assert await counted(valkey, "a" * 256) == await counted(valkey, "root") == Counter(m=1)


async def test_more_names_than_there_is_room_for(handler: CommonLogHandler, valkey: Redis) -> None:
    """Of 20,000 names, a thousand count separately, the others together; few are remembered."""
    record = logging.makeLogRecord({"levelno": logging.INFO, "msg": "m"})
    for _ in range(2):
        for number in range(20_000):
            record.name = f"logger-{number}"
            handler.handle(record)

    assert len(handler._names) <= 10_000
    assert account(handler) == (40_000, 0)
    assert handler.stats.other == 38_000
    assert await counted(valkey, "logger-999") == Counter(m=2)
    assert await counted(valkey, "<other>", "<other>") == Counter({"<other>": 38_000})


async def test_messages_that_are_no_text(handler: CommonLogHandler, valkey: Redis) -> None:
    """Anything can be logged: it is counted as its text."""
    for message in ({"event": 1}, 5, None, b"bytes"):
        LOGGER.info(message)
    handler.close()
    assert await counted(valkey, "api") == Counter(["{'event': 1}", "5", "None", "b'bytes'"])


async def test_requests_of_uvicorn(valkey_url: str, valkey: Redis) -> None:
    """Its access log is counted by method and status, never by what clients make up."""
    handler = CommonLogHandler(valkey_url)
    plain = CommonLogHandler(valkey_url, message=lambda _: "m")
    text = '%s - "%s %s HTTP/%s" %d'
    for number, method in enumerate(("GET", "GET", "POST", "MADE-UP")):
        arguments = ("127.0.0.1:5", method, f"/{number}", "1.1", 200)
        record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, text, arguments, None)
        handler.handle(record)
        plain.handle(record)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "odd", None, None)
    handler.handle(record)

    assert (account(handler), account(plain)) == ((5, 0), (4, 0))
    assert await counted(valkey, "uvicorn.access") == Counter(
        {"GET 200": 2, "POST 200": 1, "<other> 200": 1, "odd": 1, "m": 4}
    )


async def test_an_exception_is_its_type_and_place(handler: CommonLogHandler, valkey: Redis) -> None:
    """However an exception gets into the record, one bug is one line, without its text."""
    error = failed()
    try:
        fail()
    except ValueError as caught:
        LOGGER.exception("order %s failed", 1)
        LOGGER.warning("order %s failed", 2, exc_info=True)
        LOGGER.error(caught)
    LOGGER.error("order %s failed", 3, exc_info=error)
    LOGGER.error("order %s failed", 4, exc_info=(ValueError, error, error.__traceback__))
    handler.close()

    assert await counted(valkey, "api", "error") == Counter({PLACE: 4})
    assert await counted(valkey, "api", "warning") == Counter({PLACE: 1})


async def test_the_place_is_in_the_application(handler: CommonLogHandler, valkey: Redis) -> None:
    """If the standard library raises, the place is the line that called it."""
    try:
        json.loads("{")
    except ValueError:
        LOGGER.exception("failed")
    handler.close()
    (message,) = await counted(valkey, "api", "error")
    here = f"{__name__.replace('.', '/')}.py"
    assert message == f"JSONDecodeError at {here}:{json_line()}"


def json_line() -> int:
    """Return the line of the test above that has no JSON."""
    return test_the_place_is_in_the_application.__code__.co_firstlineno + 3


async def test_an_exception_that_is_none(handler: CommonLogHandler, valkey: Redis) -> None:
    """If `exc_info` has no exception, the message counts; one never raised counts by type."""
    LOGGER.error("order %s failed", 1, exc_info=True)  # some do this
    LOGGER.error("order %s failed", 2, exc_info=(None, None, None))
    LOGGER.error("failed", exc_info=KeyError("secret"))
    record = {"name": "api", "levelno": logging.ERROR, "msg": "odd", "exc_info": True}
    handler.handle(logging.makeLogRecord(record))
    handler.close()
    assert await counted(valkey, "api", "error") == Counter(
        {"order %s failed": 2, "KeyError": 1, "odd": 1}
    )


async def test_filters(handler: CommonLogHandler, valkey: Redis) -> None:
    """A filter drops a record or, from Python 3.12 on, replaces it."""

    def choose(record: logging.LogRecord) -> Any:  # a record from Python 3.12 on
        replaced = copy.copy(record)
        replaced.msg = "replaced"
        return {"out": False, "other": replaced}.get(record.msg, True)

    handler.addFilter(choose)
    for message in ("out", "m", "other"):
        LOGGER.info(message)
    handler.close()
    other = "replaced" if sys.version_info >= (3, 12) else "other"
    assert await counted(valkey, "api") == Counter({"m": 1, other: 1})


async def test_levels(handler: CommonLogHandler) -> None:
    """Records below the handler's level are not counted."""
    handler.setLevel("WARNING")
    LOGGER.info("m")
    LOGGER.warning("m")
    assert account(handler) == (1, 0)


async def test_behind_a_queue(handler: CommonLogHandler, valkey: Redis) -> None:
    """A QueueHandler puts the arguments in, so each text is a message."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(records, handler, respect_handler_level=True)
    LOGGER.handlers[:] = [logging.handlers.QueueHandler(records)]
    listener.start()
    LOGGER.info("user %s", "bob")
    LOGGER.info("user %s", "eve")
    listener.stop()
    LOGGER.handlers[:] = [handler]  # for the end of the test
    handler.close()

    assert await counted(valkey, "api") == Counter(["user bob", "user eve"])


async def test_behind_a_queue_that_passes_records_as_they_are(
    handler: CommonLogHandler, valkey: Redis
) -> None:
    """A QueueHandler that doesn't prepare records for another process keeps the template."""

    class AsItIs(logging.handlers.QueueHandler):
        def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
            return record

    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(records, handler)
    LOGGER.handlers[:] = [AsItIs(records)]
    listener.start()
    LOGGER.info("user %s", "bob")
    LOGGER.error("failed", exc_info=failed())
    listener.stop()
    LOGGER.handlers[:] = [handler]  # for the end of the test
    handler.close()
    assert await counted(valkey, "api") == Counter({"user %s": 1})
    assert await counted(valkey, "api", "error") == Counter({PLACE: 1})
