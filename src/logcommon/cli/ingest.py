"""The command `ingest`: counts the messages of log files."""

from pathlib import Path

import click

from logcommon.cli.failures import ExitCode, NotExactError
from logcommon.cli.feed import Feed
from logcommon.cli.files import (
    CHUNK,
    STDIN,
    require_readable,
)
from logcommon.cli.formats.chosen import AUTO, FORMAT_NAMES, format_named
from logcommon.cli.formats.record import LineFormat
from logcommon.cli.options import url_option
from logcommon.cli.output import note
from logcommon.cli.recorder import HISTORY_HOURS, Recorder
from logcommon.cli.signals import Stop, end_code, run
from logcommon.client import CommonLog, connect
from logcommon.exceptions import InvalidArgumentError
from logcommon.messages.redaction import redact_secrets
from logcommon.messages.templates import template
from logcommon.model import Destination

_BYTES_PER_CHUNK_BYTE = 256
"""More than the memory that pending lines take for each byte of a chunk, however short they are."""


class _FormatType(click.ParamType[LineFormat | None]):
    """The type of the option `--format`: None if the format is to be recognized."""

    name = "format"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> LineFormat | None:
        """Return the format that was named."""
        if value == AUTO:
            return None
        try:
            return format_named(str(value))
        except InvalidArgumentError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option(
    "--name",
    help="The service that all messages belong to. The default is the one that each names, or else "
    "the file's name.",
)
@click.option(
    "--severity",
    help="The severity of all messages. The default is the one that each has, or else info.",
)
@click.option(
    "--format",
    "line_format",
    type=_FormatType(),
    default=AUTO,
    show_default=True,
    metavar="|".join((*FORMAT_NAMES, "REGEX")),
    help="Where times, severities, names and messages are in the lines. A regular expression has "
    "groups with these names, as in (?P<time>\\S+) (?P<message>.*). With lines, each line is a "
    "message.",
)
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
    name: str | None,
    severity: str | None,
    line_format: LineFormat | None,
    follow: bool,  # noqa: FBT001
    redact: bool,  # noqa: FBT001
    raw: bool,  # noqa: FBT001
    url: str,
) -> int:
    """Count the messages of log files.

    Messages count in the hours in which they were logged, with their severities, if the format of
    the lines says so; if it is not recognized, each line is a message of the current hour. Without
    FILE, or if FILE is -, standard input is read. Files compressed with gzip, bzip2, xz or zstd are
    decompressed. Bytes that are not UTF-8 become replacement characters.

    \b
    Examples:
      logcommon ingest /var/log/syslog access.log.gz
      journalctl -f | logcommon ingest
      logcommon ingest app.log --name app --follow --redact
    """  # noqa: D301  # click's mark for lines to keep
    Destination.of("any" if name is None else name, "any" if severity is None else severity)
    paths = list(files) or [STDIN]
    if follow and STDIN in paths:
        if len(paths) > 1:
            raise click.UsageError("standard input can't be followed along with files")
        follow = False  # it is read to its end in any case
    for path in paths:
        require_readable(path, follow=follow)

    # Room for all lines of a chunk, even if all are distinct: each has at least two bytes.
    recorder = Recorder(name, severity, is_raw=raw)
    log = connect(
        url,
        history_hours=HISTORY_HOURS,
        max_pending=CHUNK,
        max_pending_bytes=_BYTES_PER_CHUNK_BYTE * CHUNK,
        redact=redact_secrets if redact else None,
        template=None if raw else template,
        clock=recorder.clock,
    )
    return run(lambda stop: _ingest(stop, log, recorder, line_format, paths, follow=follow))


async def _ingest(
    stop: Stop,
    log: CommonLog,
    recorder: Recorder,
    line_format: LineFormat | None,
    paths: list[Path],
    *,
    follow: bool,
) -> int:
    try:
        async with log:
            with stop.scope:
                await log.destinations()  # fails at once without a server; writing would wait
                feed = Feed(log, recorder, line_format)
                await (feed.follow(paths) if follow else feed.read(paths))
    except BaseException:
        if log.stats.calls:
            note(recorder.summary(log.stats))
        raise

    note(recorder.summary(log.stats))
    if log.stats.dropped:
        raise NotExactError(f"not every message was counted; last error: {log.stats.last_error}")
    if follow or stop.signal is None:
        return end_code(stop.signal)
    return ExitCode.SIGNALLED + stop.signal
