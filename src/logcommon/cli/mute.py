"""The commands `mute`, `unmute` and `mutes`."""

import re

import click

from logcommon.cli.options import output_option, url_option
from logcommon.cli.output import note, print_rows, result_console
from logcommon.cli.show import iso
from logcommon.cli.signals import run_or_raise
from logcommon.cli.tables import message_text, plain_table, print_titled
from logcommon.client import connect
from logcommon.exceptions import InvalidArgumentError
from logcommon.model import Mute

_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_FOR_EVER = "ever"


class DurationType(click.ParamType[float | None]):
    """The type of the option `--for`: seconds, or None for ever."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """Return a duration in seconds."""
        if value == _FOR_EVER:
            return None
        match = re.fullmatch(r"(\d{1,6})([mhdw])", str(value))
        if match is None:
            self.fail("use a duration like 30m, 12h, 7d or 2w, or ever", param, ctx)
        return float(int(match[1]) * _SECONDS[match[2]])


@click.command()
@click.argument("message")
@click.option(
    "--for",
    "duration",
    type=DurationType(),
    default="7d",
    show_default=True,
    metavar="30m|12h|7d|2w|ever",
    help="How long it is muted.",
)
@click.option(
    "--until-rises",
    type=click.FloatRange(min=1, min_open=True),
    metavar="FACTOR",
    help="Let it come back once its rate is so many times what it is now.",
)
@url_option
def mute(message: str, duration: float | None, until_rises: float | None, url: str) -> None:
    """Mute a message that you know of.

    It is marked in all tables, and raises no alert in `watch`. MESSAGE is the text in the table, or
    the template; it is muted for all services.

    \b
    Examples:
      logcommon mute 'cache node <num> does not answer' --for 2d
      logcommon mute 'payment declined' --until-rises 5
    """  # noqa: D301  # click's mark for lines to keep
    made, is_known = run_or_raise(_mute(url, message, duration, until_rises))
    until = _until(made)
    note(f"muted {until}, see: logcommon mutes")
    if not is_known:
        note("warning: no such message was counted; `logcommon top --json` has the exact texts")


@click.command()
@click.argument("message")
@url_option
def unmute(message: str, url: str) -> None:
    """Unmute a message.

    \b
    Example:
      logcommon unmute 'payment declined'
    """  # noqa: D301  # click's mark for lines to keep
    if not run_or_raise(_unmute(url, message)):
        raise InvalidArgumentError("this message is not muted; see: logcommon mutes")
    note("unmuted")


@click.command()
@output_option
@url_option
def mutes(output: str | None, url: str) -> None:
    """Show what is muted, and until when.

    \b
    Example:
      logcommon mutes
    """  # noqa: D301  # click's mark for lines to keep
    found = run_or_raise(_mutes(url))
    console = result_console()
    if output:
        print_rows(output, [_mute_json(each) for each in found])
    elif not found:
        console.print("Nothing is muted.")
    else:
        table = plain_table("muted at (UTC)", "until (UTC)", "until it rises", "message")
        for each in found:
            table.add_row(
                f"{each.since:%Y-%m-%d %H:%M}",
                "for ever" if each.until is None else f"{each.until:%Y-%m-%d %H:%M}",
                "" if each.until_rises is None else f"{each.until_rises:g}×",  # noqa: RUF001
                message_text(console, each.message),
            )
        print_titled(console, "Muted messages", table)


async def _mute(
    url: str, message: str, seconds: float | None, until_rises: float | None
) -> tuple[Mute, bool]:
    async with connect(url) as log:
        made = await log.mute(message, seconds, until_rises=until_rises)
        return made, (await log.series(message, None, None)).last_seen is not None


async def _unmute(url: str, message: str) -> bool:
    async with connect(url) as log:
        return await log.unmute(message)


async def _mutes(url: str) -> list[Mute]:
    async with connect(url) as log:
        return await log.mutes()


def _until(made: Mute) -> str:
    moment = "for ever" if made.until is None else f"until {made.until:%Y-%m-%d %H:%M} UTC"
    if made.until_rises is None:
        return moment
    return f"{moment}, or until it rises {made.until_rises:g}-fold"


def _mute_json(mute: Mute) -> dict[str, object]:
    return {
        "message": mute.message,
        "since": iso(mute.since),
        "until": iso(mute.until),
        "until_rises": mute.until_rises,
        "before": [
            {**destination._asdict(), **counted._asdict()}
            for destination, counted in mute.before.items()
        ],
    }
