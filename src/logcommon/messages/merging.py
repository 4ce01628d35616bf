"""Merges templates that differ only in word parameters, such as the names of users. No I/O.

A word with no digit may be a user's name, or what happened: `session opened for user root`. One
message can't tell, but all templates of an hour together can. Two templates are neighbours if they
have as many words and differ in one. The words in which neighbours differ are a parameter if there
are enough of them, or if a placeholder is among them. A word that says what happened never is: a
participle, or an HTTP method. Nor is the first word, unless there are very many.

The idea of judging a column of words by how many there are is that of Brain (Yu et al., IEEE
Transactions on Services Computing, 2023); the tests of a word are ours.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

_ENOUGH = 3
"""Different words that make a parameter."""
_ENOUGH_FIRST = 20
"""Different words that make one of the first word, which mostly names what the message is about."""
_FEWEST_COMMON = 2
"""Words that neighbours must have in common."""
_LONGEST = 64
"""Words of a template that are compared one by one; the rest is compared as one."""

_PLACEHOLDER = re.compile(r"<(?:\*|[a-z]+)>")
_LETTER = re.compile(r"[^\W\d_]")
_PUNCTUATION = "\"'`()[]{}.,;:!?"
_HAPPENED = re.compile(r"[A-Za-z]{2,}(?:ed|ing)|GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS")

_Words: TypeAlias = tuple[str, ...]


class _Gap(NamedTuple):
    """What neighbours have in common, and where they differ."""

    before: _Words
    after: _Words


def merge_templates(counts: Mapping[str, int]) -> dict[str, str]:
    """Return, for each template, the one that it belongs to: itself, or a merged one.

    The result depends on the templates and their counts, and not on their order.

    Args:
        counts: How often each template occurred.

    """
    merged = {template: _split(template) for template in counts}
    while changes := _joined(_weights(counts, merged)):
        merged = {template: changes.get(words, words) for template, words in merged.items()}
    return {template: " ".join(words) for template, words in merged.items()}


def _split(template: str) -> _Words:
    return tuple(template.split(" ", _LONGEST))


def _weights(counts: Mapping[str, int], merged: Mapping[str, _Words]) -> dict[_Words, int]:
    weights: dict[_Words, int] = defaultdict(int)
    for template, words in merged.items():
        weights[words] += counts[template]
    return weights


def _joined(weights: Mapping[_Words, int]) -> dict[_Words, _Words]:
    """Return the templates that have enough neighbours, each with what it becomes.

    If a template has neighbours in several places, the largest group decides.
    """
    groups = [(gap, group) for gap, group in _neighbours(weights) if _is_parameter(gap, group)]
    groups.sort(key=lambda it: (-len(it[1]), -sum(map(weights.__getitem__, it[1])), it[0]))

    changes: dict[_Words, _Words] = {}
    for gap, group in groups:
        parameter = _parameter([words[len(gap.before)] for words in group])
        for words in group:
            changes.setdefault(words, (*gap.before, parameter, *gap.after))
    return {words: changed for words, changed in changes.items() if changed != words}


def _neighbours(templates: Iterable[_Words]) -> Iterator[tuple[_Gap, list[_Words]]]:
    gaps: dict[_Gap, list[_Words]] = defaultdict(list)
    for words in templates:
        for index in range(len(words)):
            gaps[_Gap(words[:index], words[index + 1 :])].append(words)
    return ((gap, group) for gap, group in gaps.items() if len(group) > 1)


def _is_parameter(gap: _Gap, group: list[_Words]) -> bool:
    """Return whether the words in which a group differs are a parameter."""
    if sum(map(_is_text, (*gap.before, *gap.after))) < _FEWEST_COMMON:
        return False

    differing = [words[len(gap.before)].strip(_PUNCTUATION) for words in group]
    texts = [word for word in differing if not _PLACEHOLDER.fullmatch(word)]
    happened = sum(1 for word in texts if _HAPPENED.fullmatch(word))
    if texts and happened * 2 >= len(texts):
        return False
    is_first = not any(map(_is_text, gap.before))
    return len(texts) < len(differing) or len(texts) >= (_ENOUGH_FIRST if is_first else _ENOUGH)


def _is_text(word: str) -> bool:
    """Return whether a word says something besides its placeholders."""
    return _LETTER.search(_PLACEHOLDER.sub("", word)) is not None


def _parameter(words: list[str]) -> str:
    """Return the placeholder for several words, with the punctuation that they all have."""
    word = min(words)
    before = word[: len(word) - len(word.lstrip(_PUNCTUATION))]
    after = word[len(word.rstrip(_PUNCTUATION)) :]
    if all(each.startswith(before) and each.endswith(after) for each in words):
        return f"{before}<*>{after}"
    return "<*>"
