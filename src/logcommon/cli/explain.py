"""The command `explain`: why a message is counted as it is."""

import click
from rich.table import Table

from logcommon.cli.options import json_option
from logcommon.cli.output import print_json, result_console, visible_text
from logcommon.cli.tables import plain_table, print_titled
from logcommon.messages.templates import Explanation, Templates


@click.command()
@click.argument("message")
@json_option
def explain(message: str, as_json: bool) -> None:  # noqa: FBT001
    """Show the template of MESSAGE, and which rule made each placeholder."""
    explanation = Templates().explain(message)
    if as_json:
        print_json(
            {
                "template": explanation.template,
                "replacements": [each._asdict() for each in explanation.replacements],
            }
        )
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
