"""The command `explain`: why a message is counted as it is."""

import click
from rich.table import Table

from logcommon.cli.options import output_option
from logcommon.cli.output import print_json, print_rows, result_console, visible_text
from logcommon.cli.tables import plain_table, print_titled
from logcommon.messages.templates import Explanation, Templates


@click.command()
@click.argument("message")
@output_option
def explain(message: str, output: str | None) -> None:
    """Show the template of MESSAGE, and which rule made each placeholder.

    \b
    Example:
      logcommon explain 'user 17 left'
    """  # noqa: D301  # click's mark for lines to keep
    explanation = Templates().explain(message)
    replacements = [each._asdict() for each in explanation.replacements]
    if output == "json":
        print_json({"template": explanation.template, "replacements": replacements})
        return
    if output:
        print_rows(output, replacements)
        return

    console = result_console()
    if explanation.replacements:
        print_titled(console, explanation.template, _table(explanation))
    else:
        console.print(visible_text(explanation.template), soft_wrap=True)


def _table(explanation: Explanation) -> Table:
    table = plain_table("placeholder", "stands for", "rule")
    for text, placeholder, rule in explanation.replacements:
        table.add_row(visible_text(placeholder), visible_text(text), visible_text(rule))
    return table
