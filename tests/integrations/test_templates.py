"""With templates on, what is a template already is counted as it is."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from loguru import logger as loguru_logger

import logcommon
from logcommon.integrations._request_log import RequestLog
from logcommon.integrations.logging import CommonLogHandler
from logcommon.integrations.loguru import CommonLogSink
from logcommon.integrations.requests import default_choice
from logcommon.integrations.structlog import CommonLogProcessor
from logcommon.testing import Captured, capture

URL = "redis://localhost:1/0"


def _counts(captured: Captured, severity: str) -> dict[str, int]:
    return {
        message: count for (_, each, message), count in captured.counts.items() if each == severity
    }


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger with our handler."""
    logger = logging.getLogger("templates")
    handler = CommonLogHandler(URL, "shop", template=logcommon.template)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def test_a_message_with_arguments_is_a_template(logger: logging.Logger) -> None:
    """A message of logging is counted as it is if it has arguments, and else its template is."""
    with capture() as captured:
        logger.warning("took %.1f s, status 200", 3.5)
        logger.warning("user 17 logged in")
    counts = _counts(captured, "warning")
    assert counts == {"took %.1f s, status 200": 1, "user <num> logged in": 1}


def test_the_place_of_an_exception_stays(logger: logging.Logger) -> None:
    """The number of the line in which an exception was raised is not a parameter."""
    with capture() as captured:
        try:
            raise ValueError
        except ValueError:
            logger.exception("failed 17 times")
    (message,) = _counts(captured, "error")
    assert message.startswith("ValueError at ")
    assert message.rpartition(":")[2].isdigit()


def test_the_template_of_a_route_stays() -> None:
    """A request is counted by its method, route and status."""
    with capture() as captured, logcommon.background(URL, template=logcommon.template) as log:
        requests = RequestLog(log, "shop", default_choice)
        requests.count("response", "GET", lambda: "/orders/{id}", 0.0, 200)
    assert _counts(captured, "info") == {"GET /orders/{id} 200": 1}


def test_an_event_of_structlog_is_a_template() -> None:
    """An event is counted as it is."""
    processor = CommonLogProcessor(URL, "shop", template=logcommon.template)
    with capture() as captured:
        logger = structlog.wrap_logger(
            structlog.PrintLogger(), processors=[processor, structlog.processors.JSONRenderer()]
        )
        logger.info("step 2 of 3")
    assert _counts(captured, "info") == {"step 2 of 3": 1}
    processor.close()


def test_a_message_of_loguru_with_arguments_is_a_template() -> None:
    """A message of loguru is counted as it is if it has arguments, and else its template is."""
    sink = CommonLogSink(URL, "shop", template=logcommon.template)
    number = loguru_logger.add(sink)
    with capture() as captured:
        loguru_logger.info("step 2 of {}", 3)
        loguru_logger.info("step 2 of 3")
    loguru_logger.remove(number)
    counts = _counts(captured, "info")
    assert counts == {"step 2 of {}": 1, "step <num> of <num>": 1}
