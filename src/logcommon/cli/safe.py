r"""Logged text made fit for a terminal. Pure.

What was logged may hold anything: escape sequences that rewrite the screen, letters that turn the
line around, line ends. Each is shown as what it is, `\x1b`, `\u202e`, `\n`, and never acted on.
"""

from rich.text import Text

_ESCAPED = "cyan"
_CUT_MARK = "…"


def visible(text: str) -> str:
    r"""Return `text` with everything that is not printable as `\x1b`, `\n` or `\u202e`.

    These are control, format and bidi characters, line separators, surrogates, unassigned code
    points, and spaces other than the usual one.
    """
    return text if text.isprintable() else "".join(map(_visible_character, text))


def visible_text(text: str, longest: int | None = None) -> Text:
    """Return `text` for rich, never read as markup; escapes coloured, cut to `longest` characters.

    The colour tells an escape from the same letters in the message.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - len(_CUT_MARK)] + _CUT_MARK
    if text.isprintable():
        return Text(text)
    pieces = ((_visible_character(it), "" if it.isprintable() else _ESCAPED) for it in text)
    return Text.assemble(*pieces)


def _visible_character(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
