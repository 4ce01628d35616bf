"""The command `ingest`: counts the lines of files as messages."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TimeRemainingColumn,
)

from logcommon.cli.failures import ExitCode, NotExactError
from logcommon.cli.files import (
    CHUNK,
    STDIN,
    LineSplitter,
    Source,
    require_readable,
    total_size,
)
from logcommon.cli.followed import FollowedFile
from logcommon.cli.options import url_option
from logcommon.cli.output import note, progress_console
from logcommon.cli.signals import Stop, run
from logcommon.client import CommonLog, connect
from logcommon.messages.redaction import redact_secrets
from logcommon.messages.templates import template
from logcommon.model import Destination
from logcommon.stats import Stats

_BYTES_PER_CHUNK_BYTE = 256
"""More than the memory that pending lines take for each byte of a chunk, however short they are."""

_POLL = 0.2
"""Seconds between checks whether files have grown."""


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The service that the lines belong to.")
@click.option("--severity", default="info", show_default=True, help="The severity of the lines.")
@click.option(
    "--follow",
    is_flag=True,
    help="Keep reading until Ctrl-C as the files grow, are rotated or appear.",
)
@click.option(
    "--redact",
    is_flag=True,
    help="Replace passwords, tokens and other secrets that can be recognized.",
)
@click.option(
    "--raw",
    is_flag=True,
    help="Count each message as it is, instead of its template.",
)
@url_option
def ingest(
    files: tuple[Path, ...],
    name: str,
    severity: str,
    follow: bool,  # noqa: FBT001
    redact: bool,  # noqa: FBT001
    raw: bool,  # noqa: FBT001
    url: str,
) -> int:
    """Count the lines of files as messages.

    Lines count in the current hour, whatever times they contain. Without FILE, or if FILE is -,
    standard input is read. Files compressed with gzip, bzip2 or xz are decompressed. Each line is
    one message, even a blank one. Bytes that are not UTF-8 become replacement characters.
    """
    destination = Destination.of(name, severity)
    paths = list(files) or [STDIN]
    if follow and STDIN in paths:
        if len(paths) > 1:
            raise click.UsageError("standard input can't be followed along with files")
        follow = False  # it is read to its end in any case
    for path in paths:
        require_readable(path, follow=follow)

    # Room for all lines of a chunk, even if all are distinct: each has at least two bytes.
    log = connect(
        url,
        max_pending=CHUNK,
        max_pending_bytes=_BYTES_PER_CHUNK_BYTE * CHUNK,
        redact=redact_secrets if redact else None,
        template=None if raw else template,
    )
    return run(lambda stop: _ingest(stop, log, destination, paths, follow=follow))


async def _ingest(
    stop: Stop, log: CommonLog, destination: Destination, paths: list[Path], *, follow: bool
) -> int:
    try:
        async with log:
            with stop.scope:
                await log.destinations()  # fails at once without a server; writing would wait
                feed = _Feed(log, destination)
                await (feed.follow(paths) if follow else feed.read(paths))
    except BaseException:
        if log.stats.calls:
            _report(log.stats, destination)
        raise

    _report(log.stats, destination)
    if log.stats.dropped:
        raise NotExactError(f"not every line was counted; last error: {log.stats.last_error}")
    return _exit_code(stop.signal, follow=follow)


def _exit_code(number: int | None, *, follow: bool) -> int:
    """Return the exit code, given the number of the signal that ended the command, if one did."""
    # Ctrl-C and SIGTERM are how following ends; a closed terminal is still an error.
    is_end_of_following = follow and number != getattr(signal, "SIGHUP", None)
    if number is None or is_end_of_following:
        return ExitCode.OK
    return ExitCode.SIGNALLED + number


class _Feed:
    """Logs lines, and waits until Redis has those of one chunk before it reads the next."""

    def __init__(self, log: CommonLog, destination: Destination) -> None:
        self._log = log
        self._destination = destination

    async def read(self, paths: list[Path]) -> None:
        """Log the lines of files, one file after another."""
        with _progress(total_size(paths)) as advance:
            for path in paths:
                await self._read_one(Source(path), advance)

    async def follow(self, paths: list[Path]) -> None:
        """Log the lines of files, and those added to them, until cancelled."""
        with ExitStack() as stack:
            files = [FollowedFile(path) for path in paths]
            for file in files:
                stack.callback(self._end, file)
            while True:
                chunks = [await self._read_more(file) for file in files]
                if not any(chunks):
                    await anyio.sleep(_POLL)

    async def _read_one(self, source: Source, advance: Callable[[int], None]) -> None:
        splitter, done = LineSplitter(), 0

        try:
            while chunk := await source.read():
                self._put(splitter.feed(chunk))
                advance(source.bytes_read - done)
                done = source.bytes_read
                await self._log.flush()
        finally:
            # Even if a signal ended the reading: closing the client writes these lines.
            self._put(splitter.feed(source.close()))
            self._put(splitter.end())

    async def _read_more(self, file: FollowedFile) -> bool:
        lines = await file.read()
        if lines is None:
            return False
        self._put(lines)
        await self._log.flush()
        return True

    def _end(self, file: FollowedFile) -> None:
        self._put(file.end())

    def _put(self, lines: Iterable[str]) -> None:
        name, severity = self._destination
        for line in lines:
            self._log.log_common_nowait(name, line, severity)


@contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that adds bytes to the progress shown on a terminal."""
    console = progress_console()
    if size is None or not console.is_terminal:
        yield lambda _: None
        return
    columns = (BarColumn(), TaskProgressColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("ingest", total=size)
        yield lambda done: progress.advance(task, done)


def _report(stats: Stats, destination: Destination) -> None:
    lines = f"{stats.calls:,} line{'' if stats.calls == 1 else 's'}"
    note(
        f"{lines} to {destination.name} ({destination.severity}): "
        f"{stats.other:,} of them as <other>, {stats.dropped:,} dropped"
    )
