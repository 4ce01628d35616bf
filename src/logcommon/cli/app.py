"""The command `logcommon`: its subcommands, and how they end."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper

import click
from click.exceptions import NoArgsIsHelpError

from logcommon.cli.changes import compare, mark, marks, watch
from logcommon.cli.completion import PROGRAM, completion
from logcommon.cli.copy import copy
from logcommon.cli.demo import demo
from logcommon.cli.explain import explain as explain_message
from logcommon.cli.failures import ExitCode, exit_code, explain
from logcommon.cli.ingest import ingest
from logcommon.cli.mute import mute, mutes, unmute
from logcommon.cli.output import discard_output, note, show_warnings
from logcommon.cli.report import report
from logcommon.cli.serve import serve
from logcommon.cli.show import destinations, recent
from logcommon.cli.signals import SignalledError, raise_on_signals
from logcommon.cli.top import top

_EPILOG = """\
\b
Exit codes:
  0  success
  1  any other error
  2  wrong usage, or a URL that can't be used
  3  no server: Redis can't be reached, is a cluster or refuses the
     login, or the embedded server can't be started
  4  nothing was ever logged under the name
  5  a file can't be read
  128 plus the number of the signal that ended it: 130 for Ctrl-C,
  129 if the terminal was closed
"""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        """Run a command; if a signal ends it, the exit code says which."""
        try:
            return super().invoke(ctx)
        except SignalledError as error:
            if error.signal == signal.SIGINT:
                _print_line_end()
            ctx.exit(ExitCode.SIGNALLED + error.signal)


@click.group(
    cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="logcommon", message="%(prog)s %(version)s")
def cli() -> None:
    """Show what is happening right now, and which messages happen most.

    The commands use the Redis or Valkey of --url or LOGCOMMON_URL. Without either they use a
    private server, which is started and stopped as needed. Begin with: logcommon demo
    """


for _command in (
    *(demo, ingest, top, recent, compare, watch, mark, marks, destinations),
    *(mute, unmute, mutes),
    *(serve, copy, report, explain_message, completion),
):
    cli.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error is one line on stderr, no traceback."""
    try:
        raise_on_signals()
        _survive_narrow_encodings()
        show_warnings()
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt) as error:
        # Before a command begins, click turns a SignalledError into an Abort.
        number = getattr(error.__cause__ or error, "signal", signal.SIGINT)
        return ExitCode.SIGNALLED + number
    except NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except Exception as error:
        if isinstance(error, OSError):
            discard_output(sys.stdout)
        if os.environ.get("LOGCOMMON_TRACEBACK"):
            raise
        note(f"error: {explain(error)}")
        return exit_code(error)
    return code or ExitCode.OK


def _print_line_end() -> None:
    # The terminal has printed ^C; the prompt should start on a new line.
    with suppress(OSError):
        click.echo(err=True)


def _survive_narrow_encodings() -> None:
    # Characters that the terminal's encoding lacks are escaped, as control characters are.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
