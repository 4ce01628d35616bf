"""The options that commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from logcommon.server.target import EMBEDDED

_Command = TypeVar("_Command", bound=Callable[..., Any])

url_option = click.option(
    "--url",
    envvar="LOGCOMMON_URL",
    show_envvar=True,
    default=EMBEDDED,
    show_default=True,
    help="redis://…, rediss://…, unix:///PATH, embedded: for a server of one's own, or "
    "embedded:DIRECTORY.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

severity_option = click.option(
    "--severity", help="Only this severity: debug, info, warning, error, critical or another text."
)


def count_option(default: int) -> Callable[[_Command], _Command]:
    """Return the option `-n`."""
    return click.option(
        "-n",
        "count",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="How many at most.",
    )
