"""What the shops share: settings from the environment, and a logger."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import logcommon
from logcommon.integrations.logging import CommonLogHandler

URL, SERVICE = os.environ["LOGCOMMON_URL"], os.environ["SERVICE"]
SETTINGS: dict[str, Any] = {"linger": float(os.environ["LINGER"])}
CLIENT = logcommon.connect(URL, **SETTINGS) if os.environ["LOG"] == "client" else None
COUNTING: dict[str, Any] = {"log": CLIENT} if CLIENT else {"log": URL, **SETTINGS}
# On a busy machine any request may be slow.
COUNTING["slow_after"] = None
if "SPOOL" in os.environ:
    COUNTING["spool"] = os.environ["SPOOL"]

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(CommonLogHandler(URL, service=f"{SERVICE}-logger", **SETTINGS))


def without_path(record: logging.LogRecord) -> str:
    """Return the message of a record of Django's without the path, which clients make up."""
    return record.getMessage().partition(": ")[0]  # "Not Found", "Method Not Allowed (GET)"


def handler_of_server(
    message: Callable[[logging.LogRecord], str] | None = None,
) -> logging.Handler:
    """Return a handler for what a server or a framework logs itself."""
    return CommonLogHandler(URL, f"{SERVICE}-server", message=message, **SETTINGS)


def started() -> None:
    """Tell the test that this worker has started; a server may answer before all have."""
    (Path(os.environ["STARTED"]) / f"started-{os.getpid()}").touch()


def take(order: int) -> str:
    """Log an order, as any application does."""
    logger.info("order %s taken", order)
    return "taken"


def bug() -> str:
    """Raise."""
    raise ValueError("of secret text")
