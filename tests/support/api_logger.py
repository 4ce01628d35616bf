"""The logger that the tests of the `logging` handler use."""

import logging

from logcommon.integrations.logging import CommonLogHandler

LOGGER = logging.getLogger("api")


def attached(handler: CommonLogHandler) -> CommonLogHandler:
    """Make the logger log to a handler alone, at every level."""
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(1)
    return handler


def account(handler: CommonLogHandler) -> tuple[int, int]:
    """Close a handler; return how many records are in Redis, and how many it ignored."""
    handler.close()
    stats = handler.stats
    assert stats.calls == stats.counted + stats.other + stats.dropped
    return stats.counted + stats.other, handler.ignored
