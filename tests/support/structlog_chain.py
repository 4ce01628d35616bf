"""Loggers of structlog with a chain of processors."""

import io
import logging

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

NATIVE = structlog.make_filtering_bound_logger(logging.NOTSET)
"""The class of loggers that structlog makes by default."""


def logger_of(
    *processors: Processor, logger: WrappedLogger = None, wrapper: type = NATIVE
) -> FilteringBoundLogger:
    """Return a logger with these processors alone, which prints to nowhere by default."""
    wrapped = structlog.PrintLogger(io.StringIO()) if logger is None else logger
    bound: FilteringBoundLogger = structlog.wrap_logger(
        wrapped, processors=[*processors, repr_of], wrapper_class=wrapper, context_class=dict
    )
    return bound


def stdlib_logger_of(name: str, *processors: Processor) -> FilteringBoundLogger:
    """Return a logger with these processors alone, around one of the standard library."""
    return logger_of(
        *processors, logger=logging.getLogger(name), wrapper=structlog.stdlib.BoundLogger
    )


def repr_of(_logger: object, _method: str, event_dict: EventDict) -> str:
    """Render an event to everything in it."""
    return repr(event_dict)
