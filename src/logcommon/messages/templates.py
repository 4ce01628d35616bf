"""Replaces the parameters of a message, so that messages which differ only in them are one. No I/O.

A template depends on the message alone: nothing is learned, so all producers find the same one,
today and tomorrow. The time it takes is proportional to the length of the message.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from logcommon.exceptions import InvalidArgumentError
from logcommon.messages.words import KINDS, Replacement, Words
from logcommon.model import CUT_MARK

VERSION = 1
"""Changes whenever some message has another template than before."""

LONGEST = 4096
"""Characters of a message that are read, and the most that a template has."""

_SIZES = "bytes?|[KMGT]i?B|[kKMGT]bytes|(?:kilo|mega|giga|tera)bytes"
_DURATIONS = (
    "ns|us|µs|ms|msecs?|s|secs?|mins?|hrs?"
    "|(?:nano|micro|milli)?seconds?|minutes?|hours?|days?|weeks?"
)
_SIZE = re.compile(rf"<num> (?:{_SIZES})(?![\w=-])")
_DURATION = re.compile(rf"<num> (?:{_DURATIONS})(?![\w=-])")

_MONTHS = [
    *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    *("january", "february", "march", "april", "june", "july", "august", "september"),
    *("october", "november", "december"),
]
_MONTH_WORDS = {
    word + mark
    for month in _MONTHS
    for word in (month, month.title(), month.upper())
    for mark in ("", ",", ".")
}
_DAYS = "(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATE = re.compile(
    rf"(?:\b{_DAYS},? )?(?:\b(?:{_MONTH})[,.]? <num>|<num>,? (?:{_MONTH})\b[,.]?)"
    r"(?:,? (?:<num>|<date>|(?:UTC|GMT|[A-Z]{2,3}T|AM|PM)\b))*",
    re.IGNORECASE,
)

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"))
_METHOD_WORDS = _METHODS | {'"' + method for method in _METHODS}
_STATUS = re.compile(r"[\[(]?[1-5]\d\d[\])]?[,.;:]?")
_PROTOCOL = re.compile(r"HTTP(?:/\d(?:\.\d)?)?[\"']?")

_QUOTED = re.compile(
    r"""(?<![^\s(\[{=,:])(?P<mark>["'`])"""
    r"""(?![\s"'`]|(?:GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS) )(?P<text>[^"'`\n]{1,256})(?<!\s)"""
    r"""(?P=mark)(?![^\s,.;!?)\]}])(?!\s+:(?:\s|$))"""
)
_ASSIGNED = re.compile(r"(?<=[\w\])])( = | ?= )[^\s=,;<]*[^\s=,;.:!?)\]}<](?=[,;.:!?)\]}]*(?: |$))")
_EMPTY = re.compile(r"(?<= )\(\)(?= |$)")
_LIST = re.compile(r"(<(?:\*|[a-z]+)>)(?:(?:[,;] ?| )\1)+(?![\w=])")


class Explanation(NamedTuple):
    """A template, and what was replaced in the message."""

    template: str
    replacements: list[Replacement]


class Templates:
    """Turns messages into templates, by rules that can be changed.

    Args:
        off: Kinds of placeholders that are left as they are, such as `num`.
        own: Kinds of one's own: the name of each placeholder, in lower-case letters, and a regular
            expression that a whole word matches, without the punctuation around it.
        pinned: Messages that are their own templates.

    Raises:
        InvalidArgumentError: A kind is unknown, or a name or pattern can't be used.

    """

    def __init__(
        self,
        *,
        off: Collection[str] = (),
        own: Mapping[str, str] | None = None,
        pinned: Iterable[str] = (),
    ) -> None:
        if unknown := set(off) - set(KINDS):
            raise InvalidArgumentError(
                f"unknown kinds {sorted(unknown)}: choose from {', '.join(KINDS)}"
            )
        for name, pattern in (own or {}).items():
            _check_own(name, pattern)
        self._words = Words(off, own)
        self._pinned = frozenset(pinned)

    def __call__(self, message: str) -> str:
        """Return the template of a message."""
        if message in self._pinned:
            return message
        cut_mark = ""
        message = self._without_quoted(message)
        if len(message) > LONGEST:
            message, cut_mark = _cut(message)
        words = message.split()
        replaced = self._words.replace(words)
        if not _METHOD_WORDS.isdisjoint(words) or "HTTP" in message:
            _keep_statuses(words, replaced)
        return self._join(words, replaced, cut_mark)

    def explain(self, message: str) -> Explanation:
        """Return the template of a message, and which rule made each placeholder."""
        if message in self._pinned:
            return Explanation(message, [])
        found: list[Replacement] = []
        text, cut_mark = _cut(self._without_quoted(message, found))
        words = text.split()
        explained = [self._words.explain(word) for word in words]
        replaced = [template for template, _ in explained]
        _keep_statuses(words, replaced)

        for word, template, (_, replacements) in zip(words, replaced, explained, strict=True):
            if template != word:
                found += replacements
        return Explanation(self._join(words, replaced, cut_mark, found), found)

    def _without_quoted(self, message: str, found: list[Replacement] | None = None) -> str:
        message = message[: LONGEST + 1]
        if '"' not in message and "'" not in message and "`" not in message:
            return message
        if self._words.off("quoted"):
            return message

        def replace(match: re.Match[str]) -> str:
            if self._words.placeholder.search(match["text"]):
                return match[0]
            if found is not None:
                found.append(Replacement(match[0], "<quoted>", "text in quotes"))
            return "<quoted>"

        return _QUOTED.sub(replace, message)

    def _join(
        self,
        words: list[str],
        replaced: list[str],
        cut_mark: str,
        found: list[Replacement] | None = None,
    ) -> str:
        """Join words, and put one placeholder where several words are one parameter."""
        if months := _MONTH_WORDS.intersection(words):
            replaced = _join_dates(replaced, min(map(words.index, months)), found)
        text = " ".join(replaced)
        if "= " in text:
            text = _substitute(_ASSIGNED, r"\1<*>", text, "the value after =", found)
        if "()" in text:
            text = _substitute(_EMPTY, "(<*>)", text, "nothing in parentheses", found)
        if "<num> " in text:
            text = _substitute(_SIZE, "<size>", text, "a number of bytes", found)
            text = _substitute(_DURATION, "<duration>", text, "a number of units of time", found)
        if "> <" in text or ">," in text or ">;" in text:
            text = _substitute(_LIST, r"\1", text, "a list, shown as one", found)

        if len(text) + len(cut_mark) > LONGEST:
            text, cut_mark = _cut(text)
        return text + cut_mark


def _substitute(
    pattern: re.Pattern[str],
    replacement: str,
    text: str,
    rule: str,
    found: list[Replacement] | None,
) -> str:
    if found is not None:
        found += [
            Replacement(match[0], match.expand(replacement), rule)
            for match in pattern.finditer(text)
        ]
    return pattern.sub(replacement, text)


def _join_dates(words: list[str], month: int, found: list[Replacement] | None) -> list[str]:
    """Replace dates of several words, the first of which has its month at an index."""
    start = max(month - 2, 0)  # a weekday and a day may come before
    text = " ".join(words[start:])
    dates = _substitute(_DATE, "<date>", text, "a date of several words", found)
    return [*words[:start], dates]


def _keep_statuses(words: list[str], replaced: list[str]) -> None:
    """Put HTTP statuses back: three digits after a method and a path, or after the protocol."""
    for index, word in enumerate(words):
        if index and _STATUS.fullmatch(word):
            is_after_path = index > 1 and words[index - 2] in _METHOD_WORDS
            if is_after_path or _PROTOCOL.fullmatch(words[index - 1]):
                replaced[index] = word


def _cut(text: str) -> tuple[str, str]:
    """Return at most the longest text that is read, cut between words, and the mark for a cut."""
    if len(text) <= LONGEST:
        return text, ""
    end = text.rfind(" ", 0, LONGEST - len(CUT_MARK))
    return text[: end if end > 0 else LONGEST - len(CUT_MARK)], CUT_MARK


def _check_own(name: str, pattern: str) -> None:
    if not re.fullmatch("[a-z]{1,20}", name) or name in KINDS:
        raise InvalidArgumentError(
            f"the kind {name!r} must be one to twenty lower-case letters, and not one of ours"
        )
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidArgumentError(f"the pattern of {name!r} is invalid: {error}") from None
    if compiled.groups or compiled.fullmatch(""):
        raise InvalidArgumentError(
            f"the pattern of {name!r} must match no empty text and use (?:...) for groups"
        )


_DEFAULT = Templates()


def template(message: str) -> str:
    """Return a message with its parameters replaced by placeholders, as in `user <num> logged in`.

    It depends on the message alone, and takes time in proportion to its length. A template is its
    own template. It is at most five times as long as the message, and never longer than 4,096
    characters; what is longer is cut between two words.
    """
    return _DEFAULT(message)
