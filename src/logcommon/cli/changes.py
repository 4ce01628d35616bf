"""The commands about changes: `compare`, `watch`, `mark` and `marks`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from logcommon.cli.options import (
    count_option,
    hour_option,
    merge_option,
    output_option,
    resolve_hour,
    severity_option,
    url_option,
)
from logcommon.cli.output import note, print_json, print_line, print_rows, result_console, visible
from logcommon.cli.show import iso, require_known, say_nothing_found, whose
from logcommon.cli.signals import Stop, end_code, run, run_or_raise
from logcommon.cli.tables import change_table, describe_window, plain_table, print_titled
from logcommon.client import CommonLog, connect
from logcommon.model import Change, Comparison, Mark, Window
from logcommon.notifier import Notifier
from logcommon.read.windows import Before

_BEFORE: Mapping[str, Before] = {"yesterday": "yesterday", "history": "history"}

_OTHER_SHARE = 0.01
"""The share of calls counted as `<other>` from which it is worth a warning."""


@click.command()
@click.argument("name", required=False)
@click.option(
    "--since",
    metavar="MARK|HOUR|yesterday|history",
    help="Compare what was before and after a mark or an hour, or compare with the same hour of "
    "the day before, or with all kept hours. The default is the hour before.",
)
@severity_option
@count_option(20)
@hour_option
@click.option("--all", "with_steady", is_flag=True, help="Show what has not changed as well.")
@click.option("--details", is_flag=True, help="Show an example of each template.")
@merge_option
@output_option
@url_option
def compare(
    name: str | None,
    since: str | None,
    severity: str | None,
    count: int,
    hour: datetime | None,
    with_steady: bool,  # noqa: FBT001
    details: bool,  # noqa: FBT001
    merge: bool | None,  # noqa: FBT001
    output: str | None,
    url: str,
) -> None:
    """Show what has changed: messages that are new, back, rising, falling or gone.

    Rates are compared, so an hour that is not over is no problem. Changes are ranked by the factor
    by which a rate went up or down at least, given chance and the usual variation of the traffic.
    Without NAME, the messages of all services are compared.

    \b
    Examples:
      logcommon compare shop
      logcommon compare shop --since v1.4.2 --severity error
      logcommon compare --since yesterday
    """  # noqa: D301  # click's mark for lines to keep
    if since is not None and since not in _BEFORE and hour is not None:
        raise click.UsageError("--hour can't be used with a mark or an hour as --since")
    found = run_or_raise(_compare(url, name, severity, count, hour, since, merge=merge))
    changes = [each for each in found.changes if with_steady or each.kind != "steady"]

    if output == "json":
        print_json(_comparison_json(found, changes))
        return
    if output:
        print_rows(output, [_change_json(each) for each in changes])
        return
    if not found.changes:
        say_nothing_found(name, severity, None)
        return
    moment = datetime.now(UTC)
    title = (
        f"{whose(name, severity)}: {describe_window(found.after, moment)}, "
        f"compared with {describe_window(found.before, moment)}"
    )
    console = result_console()
    if changes:
        table = change_table(console, changes, with_name=name is None, with_details=details)
        print_titled(console, title, table)
    else:
        console.print(visible(f"{title}: nothing has changed."), soft_wrap=True)
    _warn_of_other(found)


@click.command()
@click.argument("text")
@url_option
def mark(text: str, url: str) -> None:
    """Note that something happens now, such as a deploy.

    `logcommon compare --since TEXT` then compares what was before and after it. The newest hundred
    marks are kept.

    \b
    Example:
      logcommon mark v1.4.2
    """  # noqa: D301  # click's mark for lines to keep
    noted = run_or_raise(_mark(url, text))
    note(f"marked {noted.text!r} at {noted.time:%Y-%m-%d %H:%M:%S} UTC")


@click.command()
@output_option
@url_option
def marks(
    output: str | None,
    url: str,
) -> None:
    """Show what was marked, newest first.

    \b
    Example:
      logcommon marks
    """  # noqa: D301  # click's mark for lines to keep
    found = run_or_raise(_marks(url))
    if output:
        print_rows(output, [{"time": each.time.isoformat(), "text": each.text} for each in found])
    elif not found:
        result_console().print("Nothing was marked. Begin with: logcommon mark TEXT")
    else:
        table = plain_table("time (UTC)", "mark")
        for each in found:
            table.add_row(f"{each.time:%Y-%m-%d %H:%M:%S}", visible(each.text))
        print_titled(result_console(), "Marks", table)


@click.command()
@click.argument("name", required=False)
@severity_option
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "--at-least",
    type=click.FloatRange(min=1),
    default=1.5,
    show_default=True,
    help="The factor by which the rate of a message went up at least.",
)
@click.option(
    "--least",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often a message was logged in this hour at least.",
)
@click.option(
    "--notify",
    "targets",
    multiple=True,
    envvar="LOGCOMMON_NOTIFY",
    show_envvar=True,
    metavar="URL",
    help="Send it there as well: slack://…, mailto://… or what else apprise knows; can be "
    "repeated.",
)
@url_option
def watch(
    name: str | None,
    severity: str | None,
    interval: float,
    at_least: float,
    least: int,
    targets: Sequence[str],
    url: str,
) -> int:
    """Print each message that is new, back or rising, once an hour, until Ctrl-C.

    Each is a line of JSON. The current hour is compared with all kept hours. Of several watchers on
    the same server, only one prints each; none prints it again after a restart. Muted messages are
    left out.

    \b
    Examples:
      logcommon watch shop
      logcommon watch --severity error --at-least 3 | while read -r change; do …; done
      LOGCOMMON_NOTIFY='slack://TOKEN/#alerts' logcommon watch shop
    """  # noqa: D301  # click's mark for lines to keep
    # What apprise says of a failure may have parts of URLs in it; the notifier warns itself.
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    try:
        notifier = Notifier(targets)
    except ImportError as missing:
        raise click.UsageError(str(missing)) from missing
    try:
        return run(
            lambda stop: _watch(stop, url, name, severity, interval, at_least, least, notifier)
        )
    finally:
        if undelivered := notifier.close():
            note(f"warning: {undelivered:,} changes were not delivered")


async def _watch(
    stop: Stop,
    url: str,
    name: str | None,
    severity: str | None,
    interval: float,
    at_least: float,
    least: int,
    notifier: Notifier,
) -> int:
    async with connect(url) as log:
        await log.destinations()  # fails at once without a server; watching would wait
        with stop.scope:
            changes = log.changes(name, severity, interval=interval, at_least=at_least, least=least)
            async for change in changes:
                print_line(_change_json(change))
                notifier.send(change)
    return end_code(stop.signal)


async def _compare(
    url: str,
    name: str | None,
    severity: str | None,
    count: int,
    hour: datetime | None,
    since: str | None,
    *,
    merge: bool | None,
) -> Comparison:
    async with connect(url) as log:
        if since is not None and since not in _BEFORE:
            found = await log.compare(
                name, severity, count, since=await _moment(log, since), merge=merge
            )
        else:
            hour = hour or next(iter(await log.hours(name, severity)), None)
            before = _BEFORE.get(since or "")
            found = await log.compare(name, severity, count, after=hour, before=before, merge=merge)
        if not found.changes:
            await require_known(log, name, severity)
        return found


async def _moment(log: CommonLog, since: str) -> str | datetime:
    """Return the hour that a text names, or else the text, which may be a mark."""
    if since in {each.text for each in await log.marks()}:
        return since
    try:
        return resolve_hour(since, datetime.now(UTC))
    except (ValueError, OverflowError):
        return since


async def _mark(url: str, text: str) -> Mark:
    async with connect(url) as log:
        return await log.mark(text)


async def _marks(url: str) -> list[Mark]:
    async with connect(url) as log:
        return await log.marks()


def _warn_of_other(found: Comparison) -> None:
    calls = sum(each.before + each.after for each in found.changes)
    others = found.other_after + found.other_before
    if others > _OTHER_SHARE * (calls + others):
        note(f"{others:,} calls were counted as <other>: a message among them may seem new or gone")


def _comparison_json(found: Comparison, changes: list[Change]) -> dict[str, object]:
    return {
        "after": _window_json(found.after),
        "before": _window_json(found.before),
        "other_after": found.other_after,
        "other_before": found.other_before,
        "changes": [_change_json(each) for each in changes],
    }


def _window_json(window: Window) -> dict[str, object]:
    return {"hours": [iso(hour) for hour in window.hours], "seconds": window.seconds}


def _change_json(change: Change) -> dict[str, object]:
    fields = asdict(change)
    fields.update(change.destination._asdict())
    del fields["destination"]
    return fields | {"first_seen": iso(change.first_seen), "last_seen": iso(change.last_seen)}
