"""A handler, and `logging` as it was before."""

import logging
import threading
from collections.abc import Iterator

import pytest

from logcommon.integrations.logging import CommonLogHandler
from support.api_logger import LOGGER, attached


@pytest.fixture(autouse=True)
def configuration() -> Iterator[None]:
    """Leave `logging` as it was, and close every handler of a test."""
    root, handlers, level = logging.root, logging.root.handlers[:], logging.root.level
    yield
    for handler in root.handlers + LOGGER.handlers:
        if isinstance(handler, CommonLogHandler):
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    LOGGER.handlers.clear()
    LOGGER.propagate = True

    # While `logging` is being configured a close does not wait for its thread.
    for thread in threading.enumerate():
        if thread.name == "logcommon":
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def handler(valkey_url: str) -> CommonLogHandler:
    """A handler on the emptied Valkey, attached to the logger of the tests."""
    return attached(CommonLogHandler(valkey_url))
