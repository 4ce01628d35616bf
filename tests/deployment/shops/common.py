"""What the shops have in common: how each is told to count, and the logger that they log to."""

import logging
import os

import logcommon
from logcommon.integrations.logging import CommonLogHandler

URL, SERVICE = os.environ["LOGCOMMON_URL"], os.environ["SERVICE"]
SETTINGS = {"linger": 3600}  # nothing is saved by a commit that happens to come in time
CLIENT = logcommon.connect(URL, **SETTINGS) if os.environ["LOG"] == "client" else None
COUNTING = {"log": CLIENT} if CLIENT else {"log": URL, **SETTINGS}

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(CommonLogHandler(URL, service=f"{SERVICE}-logger", **SETTINGS))


def take(order: int) -> str:
    """Log an order, as any application does."""
    logger.info("order %s taken", order)
    return "taken"


def bug() -> str:
    """Raise."""
    raise ValueError("of secret text")
