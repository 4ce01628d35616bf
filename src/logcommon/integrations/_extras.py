"""Imports the package that an integration is for."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def require_extra(requirement: str) -> Iterator[None]:
    """Turn a failed import of a package in this block into an error that says how to install it.

    Other import errors pass unchanged: the package is there, but something that it needs is not.

    Args:
        requirement: The package, with the oldest version that has what is imported.

    Raises:
        ImportError: The package is missing or too old.

    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if not package or not requirement.replace("-", "_").startswith(package):
            raise
        message = f"{requirement} is not installed: pip install '{requirement}'"
        raise ImportError(message, name=error.name) from error
