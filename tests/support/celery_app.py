"""A Celery application with a task that logs through our handler, without shutdown code."""

import logging
import os

from celery import Celery

from logcommon.integrations.logging import CommonLogHandler

LOGGER = logging.getLogger("shop")
LOGGER.setLevel(logging.INFO)
LOGGER.addHandler(CommonLogHandler(os.environ["LOG_URL"], linger=5))

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True


@app.task  # type: ignore[untyped-decorator]  # celery has no types
def work(number: int) -> None:
    LOGGER.info("task %s", number)
