"""The command `completion`: what a shell needs to complete our commands."""

import click
from click.shell_completion import get_completion_class

from logcommon.cli.failures import ExitCode

PROGRAM = "logcommon"
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script that lets a shell complete commands and options.

    \b
    Examples:
      logcommon completion bash > ~/.local/share/bash-completion/completions/logcommon
      logcommon completion zsh > ~/.zfunc/_logcommon
      logcommon completion fish > ~/.config/fish/completions/logcommon.fish
    """  # noqa: D301  # click's mark for lines to keep
    program = context.find_root().command
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # click has all three
    click.echo(kind(program, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())
    return ExitCode.OK
