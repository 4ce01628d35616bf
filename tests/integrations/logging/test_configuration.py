"""Handlers made, and closed, by the configuration of `logging`."""

import logging
import logging.config
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

import logcommon
from logcommon.integrations.logging import CommonLogHandler
from support.api_logger import LOGGER, account
from support.recorders import counted
from support.until import until


def configure(url: str, **more: object) -> CommonLogHandler:
    """Configure the logger of the tests with a dictionary, and return its handler."""
    handler = {
        "class": "logcommon.integrations.logging.CommonLogHandler",
        "level": "INFO",
        "target": url,
    }

    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"common": handler | more},
            "loggers": {"api": {"handlers": ["common"], "level": "DEBUG", "propagate": False}},
        }
    )

    (made,) = LOGGER.handlers
    assert isinstance(made, CommonLogHandler)
    return made


async def test_dict_config(valkey_url: str, valkey: Redis) -> None:
    """A dictionary gives the class, its arguments and settings."""
    handler = configure(valkey_url, service="shop", linger=0.01, max_message_bytes=20)
    LOGGER.debug("m")
    LOGGER.info("m" * 100)
    assert account(handler) == (1, 0)
    assert await counted(valkey, "shop") == Counter({"m" * 17 + "…": 1})


async def test_dict_config_with_a_client(
    valkey_url: str, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client and a hook are given by their import path."""
    async with logcommon.connect(valkey_url) as log:
        shop = SimpleNamespace(log=log, message=lambda record: f"my {record.msg}")
        monkeypatch.setitem(sys.modules, "shop", shop)
        handler = configure("ext://shop.log", message="ext://shop.message")
        LOGGER.info("m")
    assert account(handler) == (1, 0)
    assert await counted(valkey, "api") == Counter({"my m": 1})


async def test_a_second_dict_config(valkey_url: str, valkey: Redis) -> None:
    """It closes the first handler, which writes everything."""
    first = configure(valkey_url)
    LOGGER.info("m")
    second = configure(valkey_url)
    await until(lambda: first.stats.counted == 1)
    LOGGER.info("m")
    LOGGER.info("m")
    assert account(second) == (2, 0)
    assert await counted(valkey, "api") == Counter(m=3)


async def test_file_config(valkey_url: str, valkey: Redis, tmp_path: Path) -> None:
    """A file gives positional and keyword arguments."""
    file = tmp_path / "logging.ini"
    file.write_text(
        f"""
[loggers]
keys = root, api
[handlers]
keys = common
[formatters]
keys =
[logger_root]
handlers =
[logger_api]
qualname = api
level = DEBUG
propagate = 0
handlers = common
[handler_common]
class = logcommon.integrations.logging.CommonLogHandler
level = INFO
args = ("{valkey_url}", "shop")
kwargs = {{"max_message_bytes": 20}}
"""
    )
    logging.config.fileConfig(file, disable_existing_loggers=False)
    (handler,) = LOGGER.handlers
    assert isinstance(handler, CommonLogHandler)
    LOGGER.debug("m")
    LOGGER.info("m" * 100)

    assert account(handler) == (1, 0)
    assert await counted(valkey, "shop") == Counter({"m" * 17 + "…": 1})


async def test_closing_while_the_lock_of_logging_is_held(
    handler: CommonLogHandler,
) -> None:
    """`dictConfig` holds it, and the thread that writes does not need it."""
    asyncio_logger = logging.getLogger("asyncio")
    with logging._lock:  # type: ignore[attr-defined]
        asyncio_logger.setLevel(asyncio_logger.level)  # what it was asked before is forgotten
        LOGGER.info("m")
        handler.close()
        await until(lambda: handler.stats.counted == 1)


def test_configuring_does_not_wait_for_the_thread_that_writes(
    handler: CommonLogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That thread may wait for the lock of `logging`: it takes it to collect a handler."""
    LOGGER.info("before")
    handler.flush()
    waited: list[object] = []
    monkeypatch.setattr(handler._log, "close", lambda: waited.append("close"))
    monkeypatch.setattr(handler._log, "flush", lambda *_: waited.append("flush"))
    with logging._lock:  # type: ignore[attr-defined]
        handler.flush()
        handler.close()
    assert not waited
    handler.flush()
    handler.close()

    assert waited == ["flush", "close"]


@pytest.mark.parametrize("way", ["dict", "file"])
async def test_a_handler_that_a_configuration_has_closed(
    handler: CommonLogHandler, valkey: Redis, tmp_path: Path, way: str
) -> None:
    """It still counts, as a FileHandler still writes."""
    LOGGER.info("before")
    if way == "dict":
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    else:
        file = tmp_path / "logging.ini"
        file.write_text(
            "[loggers]\nkeys = root\n[handlers]\nkeys =\n[formatters]\nkeys =\n"
            "[logger_root]\nhandlers =\n"
        )
        logging.config.fileConfig(file, disable_existing_loggers=False)
    await until(lambda: handler.stats.counted == 1)
    LOGGER.info("after")

    assert handler.flush()
    assert await counted(valkey, "api") == Counter(before=1, after=1)


def test_what_can_not_be_used_is_an_error_at_once(valkey_url: str) -> None:
    """A wrong argument is an error when the handler is made, and leaves no handler behind."""
    handlers = len(logging._handlerList)  # type: ignore[attr-defined]
    with pytest.raises(logcommon.InvalidArgumentError, match="the URL can't be used") as kept:
        CommonLogHandler("localhost")
    with pytest.raises(logcommon.InvalidArgumentError, match="name must have 1 to 256"):
        CommonLogHandler(valkey_url, service="")
    with pytest.raises(TypeError, match="lingers"):
        CommonLogHandler(valkey_url, lingers=1)
    with pytest.raises(logcommon.InvalidArgumentError, match="pass linger"):
        CommonLogHandler(logcommon.connect(valkey_url), linger=1)
    with pytest.raises(ValueError, match="LOUD"):
        CommonLogHandler(valkey_url, level="LOUD")

    assert len(logging._handlerList) == handlers, kept  # type: ignore[attr-defined]
