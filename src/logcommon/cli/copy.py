"""The command `copy`: counts from one server to another."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from logcommon.cli.failures import NotCopiedError
from logcommon.cli.output import note, progress_console
from logcommon.cli.show import whose
from logcommon.cli.signals import run_or_raise
from logcommon.copying import Copy, Step
from logcommon.exceptions import InvalidArgumentError
from logcommon.server.target import Target

_DONE = ("copied", "copied before")
_NAMED = 5


@click.command()
@click.argument("source")
@click.argument("target")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--add", is_flag=True, help="Add hours that TARGET has already to what it has.")
def copy(source: str, target: str, names: tuple[str, ...], add: bool) -> None:  # noqa: FBT001
    """Copy the kept hours of services from one server to another, exactly.

    SOURCE and TARGET are URLs as for --url. SOURCE is not changed. Let the services log to TARGET
    first, as what they log to SOURCE meanwhile may be missing. If it is interrupted, the same
    command goes on where it stopped, for a day. Without NAME, all services are copied.

    \b
    Examples:
      logcommon copy redis://old:6379 redis://new:6379
      logcommon copy embedded: redis://new:6379 shop mail
    """  # noqa: D301  # click's mark for lines to keep
    if source == target:
        raise InvalidArgumentError("SOURCE and TARGET are the same")
    steps = run_or_raise(_copy(source, target, names, is_adding=add))

    outcomes = Counter(step.outcome for step in steps)
    calls = sum(step.calls for step in steps)
    before = outcomes["copied before"]
    note(
        f"hours copied: {outcomes['copied']:,}, with {calls:,} calls"
        + (f"; copied before: {before:,}" if before else "")
    )
    problems = [step for step in steps if step.outcome not in _DONE]
    for step in problems[:_NAMED]:
        where = whose(*step.unit.destination)
        note(f"{where}, {step.unit.start:%Y-%m-%d %H}:00 UTC: {step.outcome}")
    if problems:
        hint = " (--add adds to what is there)" if outcomes["in the target already"] else ""
        raise NotCopiedError(f"{len(problems):,} hours were not copied exactly{hint}")


async def _copy(source: str, target: str, names: tuple[str, ...], *, is_adding: bool) -> list[Step]:
    read, write = Target(source), Target(target)
    async with read.opened() as reading, write.opened() as writing:
        copying = Copy(reading, writing, str(read), names, is_adding=is_adding)
        await copying.plan()
        with _progress(len(copying.units)) as progress:
            steps = []
            async for step in copying.run():
                steps.append(step)
                progress.advance(progress.task_ids[0])
            return steps


@contextmanager
def _progress(total: int) -> Iterator[Progress]:
    """Show a bar on a terminal, until the block ends."""
    columns = TextColumn("copying"), BarColumn(), MofNCompleteColumn(), TextColumn("hours")
    console = progress_console()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        progress.add_task("copying", total=total)
        yield progress
