"""The words of a message: which of them are parameters, and of what kind. No I/O.

A word is what stands between spaces. It is a parameter as a whole if it contains a digit, an `@`,
two dots or a path, once the punctuation around it and a `key=` or `key:` before it are set aside.
Masking only the digits of a word would leave as many templates as there are spellings of the rest.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

LONGEST_WORD = 256
"""Characters; a longer word is a parameter, whatever it contains."""

_MOST_KNOWN = 16_384
_LONGEST_KNOWN = 64

_NUMBER = r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d+)?|[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|\.\d+)"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,:]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?"
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"

_KINDS = {
    "num": (rf"{_NUMBER}(?:[eE][+-]?\d+)?%?", "a number"),
    "ip": (
        r"/?(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?::\d{1,5})?"
        r"|(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}"
        r"|(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,6})?::(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,6})?"
        r"(?:/\d{1,3})?",
        "an IP address, with or without a port",
    ),
    "date": (
        rf"\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}(?:[T:_]?{_CLOCK})?|{_CLOCK}"
        rf"|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}}"
        rf"|\d{{1,2}}[-/](?i:{_MONTH})[a-zA-Z]*[-/]\d{{2,4}}(?::{_CLOCK})?",
        "a date or a time of day",
    ),
    "size": (rf"{_NUMBER}(?:[kmgtKMGT]i?)?[bB](?:ytes?)?", "a size in bytes"),
    "duration": (
        rf"{_NUMBER}(?:ns|us|µs|ms|s|secs?|m|mins?|h|hrs?|d)(?:\d+(?:\.\d+)?(?:ms|s|m|h))*",
        "a duration",
    ),
    "uuid": (
        r"(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})",
        "a UUID",
    ),
    "hex": (
        r"0[xX][0-9a-fA-F]+|(?=[a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{12,}|[a-fA-F]{16,}",
        "a hexadecimal number",
    ),
    "url": (r"[a-zA-Z][a-zA-Z0-9+.-]*+://\S*", "a URL"),
    "email": (r"[^\s@=:]++@[^\s@]+\.[a-zA-Z]+", "an email address"),
    "path": ("(?!)", "a path: it contains a slash"),
    "quoted": ("(?!)", "text in quotes"),
    "*": ("(?!)", "an identifier: it contains a digit, an @ or two dots"),
}
"""Kinds, each with what its placeholder stands for; those that are quick to try come first."""

_VALUE = "the value after ="

_LEFT, _RIGHT = "\"'`([{<", "\"'`)]}>.,;:!?"
_COMPOUND = re.compile(r"""[=:,;|&(){}\[\]<>"'\\/]""")
_KEY = re.compile(r"([A-Za-z_][A-Za-z_.\-]*)([=:])(?=.)", re.DOTALL)
_SEPARATOR = re.compile(r"""([,;|(){}\[\]<>"'=&]+)""")
_PATH = re.compile(r"(?:(?:[A-Za-z]:)?[\\/]|\.{1,2}/|~/)(?=.)", re.DOTALL)
_TWO_WORDS = re.compile(r"[A-Za-z]+/[A-Za-z]+")
_CLASS = re.compile(r"(?:[A-Za-z_$][\w$]*\.)+[A-Z][A-Za-z_$]*")
_CALL = re.compile(r"[A-Za-z_][\w.]*\(\)[:,.;]?")
_IN_CODE = re.compile(r"~?[A-Za-z_]\w*(?:::~?[A-Za-z_]\w*)+(?=[:=(\[]|$)")
_PROTOCOL = re.compile(r"HTTP/\d(?:\.\d)?")
_SIGN = re.compile(r"[\d@/\\]")


_PLACEHOLDER = re.compile(r"<(?:\*|[a-z]{2,20})>")


def has_placeholder(message: str) -> bool:
    """Return whether a message is a template, as far as its text can show it."""
    return _PLACEHOLDER.search(message) is not None


class Replacement(NamedTuple):
    """A part of a message that a placeholder replaced, and why."""

    text: str
    placeholder: str
    rule: str


class Words:
    """Replaces single words, and remembers those that it knows.

    Args:
        off: The kinds that are left as they are.
        own: Kinds of one's own, and the patterns that a whole word of each matches.

    """

    def __init__(self, off: Collection[str] = (), own: Mapping[str, str] | None = None) -> None:
        own = own or {}
        self._off = frozenset(off)
        self._rules = {name: f"matches {pattern}" for name, pattern in own.items()}
        self._rules |= {kind: rule for kind, (_, rule) in _KINDS.items()}
        patterns = {**own, **{kind: pattern for kind, (pattern, _) in _KINDS.items()}}
        self._kinds = re.compile(
            "|".join(
                f"(?P<{'any' if kind == '*' else kind}>{pattern})"
                for kind, pattern in patterns.items()
            )
        )
        names = "|".join(map(re.escape, patterns))
        self.placeholder: re.Pattern[str] = re.compile(f"<(?:{names}|redacted)>")
        self._has_own = bool(own)
        self._known: dict[str, str] = {}

    def replace(self, words: list[str]) -> list[str]:
        """Return each word with its parameters replaced."""
        known = self._known
        return [known.get(word) or self._learn(word) for word in words]

    def explain(self, word: str) -> tuple[str, list[Replacement]]:
        """Return a word with its parameters replaced, and each replacement."""
        found: list[Replacement] = []
        return self._word(word, found), found

    def off(self, kind: str) -> bool:
        """Return whether a kind is left as it is."""
        return kind in self._off

    def _learn(self, word: str) -> str:
        replaced = word
        if not word.isalpha() or len(word) >= 16 or self._has_own:
            replaced = self._word(word, None)
        if len(word) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[word] = replaced
        return replaced

    def _word(self, word: str, found: list[Replacement] | None) -> str:
        """Set the punctuation around a word aside, and replace what is in it."""
        if "<" in word and self.placeholder.search(word):
            return word.replace("=<quoted>", "=<*>")  # it may have had no quotes
        core = word.lstrip(_LEFT)
        before = word[: len(word) - len(core)]
        core = core.rstrip(_RIGHT)
        after = word[len(before) + len(core) :]

        if not core or ("()" in word and _CALL.fullmatch(word)):
            return word
        if len(word) > LONGEST_WORD:
            return before + self._put("*", core, found) + after
        return before + self._part(core, found) + after

    def _part(self, part: str, found: list[Replacement] | None) -> str:
        """Replace a word, or what stands between two separators in one."""
        if not part:
            return part
        if match := self._kinds.fullmatch(part):
            return self._put(str(match.lastgroup), part, found)
        if not _COMPOUND.search(part):
            return self._plain(part, found)
        if _PATH.match(part):
            return self._put("path", part, found)

        if "::" in part and (name := _IN_CODE.match(part)):
            return name[0] + self._part(part[name.end() :], found)
        if key := _KEY.match(part):
            rest = part[key.end() :]
            if key[2] == "=":
                return key[0] + self._value(rest, found)
            if rest.isdecimal() and key[1].count(".") >= 2 and not _CLASS.fullmatch(key[1]):
                return self._put("*", part, found)  # a host and a port
            return key[0] + self._word(rest, found)
        if _SEPARATOR.search(part):
            return self._separated(part, found)
        return self._plain(part, found)

    def _separated(self, part: str, found: list[Replacement] | None) -> str:
        pieces = _SEPARATOR.split(part)
        for index in range(0, len(pieces), 2):
            is_value = index > 0 and pieces[index - 1].endswith("=") and pieces[index]
            pieces[index] = (
                self._put("*", pieces[index], found, _VALUE)
                if is_value
                else self._part(pieces[index], found)
            )
        return "".join(pieces)

    def _value(self, value: str, found: list[Replacement] | None) -> str:
        """Replace the value after `key=`, and what follows it after a separator."""
        core = value.lstrip(_LEFT)
        before, core = value[: len(value) - len(core)], core.rstrip(_RIGHT)
        after = value[len(before) + len(core) :]
        if not core:
            return value
        end = re.search("[,;&|]", core) if "=" in core else None
        if end is None:
            return before + self._put("*", core, found, _VALUE) + after
        first, rest = core[: end.start()], core[end.end() :]
        replaced = self._put("*", first, found, _VALUE) if first else ""
        return before + replaced + end[0] + self._part(rest, found) + after

    def _plain(self, part: str, found: list[Replacement] | None) -> str:
        """Replace a word without separators, of no kind that is known by its shape."""
        is_variable = _SIGN.search(part) or part.count(".") >= 2
        if not is_variable or len(part) == 1 or _CLASS.fullmatch(part) or _PROTOCOL.fullmatch(part):
            return part
        if "/" in part or "\\" in part:
            return part if _TWO_WORDS.fullmatch(part) else self._put("path", part, found)
        return self._put("*", part, found)

    def _put(self, kind: str, text: str, found: list[Replacement] | None, rule: str = "") -> str:
        if kind in self._off:
            return text
        placeholder = f"<{kind}>"
        if found is not None:
            found.append(Replacement(text, placeholder, rule or self._rules[kind]))
        return placeholder


KINDS = tuple(_KINDS)
"""The kinds of placeholders."""
