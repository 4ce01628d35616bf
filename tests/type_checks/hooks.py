"""What type checkers make of hooks. Checked by mypy and pyright, and never run."""

import logging
from typing import assert_type

import logcommon
from logcommon.integrations.logging import CommonLogHandler

URL = "redis://localhost:6379/0"


def redact(message: str) -> str:
    return message.replace("hunter2", "<redacted>")


def returns_nothing(message: str) -> None: ...


def takes_bytes(message: bytes) -> bytes:
    return message


def message_of(record: logging.LogRecord) -> str:
    return record.getMessage()


assert_type(logcommon.redact_secrets("password=hunter2"), str)

logcommon.connect(URL, redact=redact)
logcommon.connect(URL, redact=logcommon.redact_secrets, clock=lambda: 0.0)
logcommon.connect(URL, redact=None)
logcommon.connect(URL, redact=returns_nothing)  # type: ignore[arg-type]
logcommon.connect(URL, redact=takes_bytes)  # type: ignore[arg-type]
logcommon.connect(URL, clock=lambda: "now")  # type: ignore[arg-type, return-value]

assert_type(logcommon.template("user 7"), str)
assert_type(logcommon.merge_templates({"user alice": 2}), dict[str, str])
assert_type(logcommon.Templates(off=["num"], own={"order": "ORD-.*"}, pinned=("a",))("m"), str)

logcommon.connect(URL, template=logcommon.template)
logcommon.connect(URL, template=logcommon.Templates(off={"num"}))
logcommon.connect(URL, template=takes_bytes)  # type: ignore[arg-type]
logcommon.Templates(own={"order": 5})  # type: ignore[dict-item]

logging.getLogger("api").addHandler(CommonLogHandler(URL, service="api", message=message_of))
CommonLogHandler(logcommon.connect(URL), level="WARNING")
CommonLogHandler(URL, message=redact)  # type: ignore[arg-type]
CommonLogHandler(6379)  # type: ignore[arg-type]
