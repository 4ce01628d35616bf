"""What the shops have in common: how each is told to count, and the logger that they log to."""

import logging
import os

import logcommon
from logcommon.integrations.logging import CommonLogHandler

URL, SERVICE = os.environ["LOGCOMMON_URL"], os.environ["SERVICE"]
CLIENT = logcommon.connect(URL) if os.environ["LOG"] == "client" else None
LOG = CLIENT or URL
SETTINGS = {"spool": os.environ["SPOOL"]} if "SPOOL" in os.environ else {}

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(CommonLogHandler(URL, service=f"{SERVICE}-logger"))


def take(order: int) -> str:
    """Log an order, as any application does."""
    logger.info("order %s taken", order)
    return "taken"


def bug() -> str:
    """Raise."""
    raise ValueError("of secret text")
