"""Removes secrets of common shapes from messages. No I/O.

This is a safety net for accidents, not a guarantee: it misses secrets in other shapes.

The time it takes is proportional to the length of the message. One pass finds the words that
secrets come with (needles), and only there are the patterns of those words tried.
"""

import re
from collections.abc import Iterator

from logcommon.messages.secret_shapes import NEEDLE, PATTERNS

REDACTED = "<redacted>"

# user:password@tcp(host), as in Go's MySQL driver. What identifies it comes after the secret, so it
# is not one of the shapes with a needle.
_GO_DSN = re.compile(r"(?P<keep>(?<![\w.%-])[\w.%-]{1,64}:)[^\s:@]+(?=@(?:tcp|unix)\()")

_LONG_WORD = re.compile(r"(?<![\w+/=-])(?<!SHA256:)[\w+/-]{32,}={0,2}")
_RUN = re.compile("[a-z]+|[A-Z]+|[0-9]+")
_HASH = re.compile("(?:0x)?(?:[0-9a-f-]+|[0-9A-F-]+)|sha[0-9]+-.*")

_PUBLIC = ("AAAAB3", "AAAAC3", "AAAAE2")
"""How SSH public keys begin."""

_CARD = re.compile(r"\d{13,19}|\d{4}[ -]\d{4,6}[ -]\d{4,5}(?:[ -]\d{1,4}){0,2}")
_ISSUER = re.compile("4|5[0-8]|6[0-9]|3[0-9]|2[2-7]")


def redact_secrets(message: str) -> str:
    """Return `message` with secrets in common shapes replaced by `<redacted>`.

    It finds values of `password=`, `"api_key":`, `--token` and similar names, authorization headers
    and cookies, passwords in URLs, private keys, tokens with the prefix of a known issuer, other
    words of at least 32 characters that look random, and card numbers (ISO/IEC 7812, with a valid
    Luhn check digit). Hexadecimal words stay, as most are hashes or ids.
    """
    message = "".join(_without_known(message))
    if "@tcp(" in message or "@unix(" in message:
        message = _GO_DSN.sub(rf"\g<keep>{REDACTED}", message)
    message = _LONG_WORD.sub(_redact_random, message)
    return _CARD.sub(_redact_card, message)


def _without_known(message: str) -> Iterator[str]:
    """Yield the pieces of a message, with secrets of known shapes replaced."""
    # Positions must be those of the message, and only `İ` has a lower case of two characters.
    lowered = message.replace("İ", "i").lower()
    done = position = 0
    while found := NEEDLE.search(lowered, position):
        position = found.start() + 1  # the next needle may begin inside this one
        for pattern in PATTERNS[found[0]]:
            if match := pattern.match(message, found.start()):
                yield message[done : match.end("keep")]
                yield REDACTED
                done = position = match.end()
                break

    yield message[done:]


def _redact_random(match: re.Match[str]) -> str:
    word = match[0]
    if word.startswith(_PUBLIC):
        return word
    if len(word) == 40 and _is_random(word):  # an AWS secret key, which may contain slashes
        return REDACTED
    return "/".join(REDACTED if _is_random(part) else part for part in word.split("/"))


def _is_random(word: str) -> bool:
    """Return whether letters and digits alternate in a word more than in any name or path."""
    if len(word) < 32 or _HASH.fullmatch(word):
        return False

    if "-" in word:
        # The names of hosts, stacks and pods end in a short random part, so judge the longest one.
        word = max(word.split("-"), key=len)
        if len(word) < 20 or word.islower() or word.isupper():
            return False

    runs = _RUN.findall(word.replace("_", ""))
    numbers = sum(map(str.isdigit, runs))
    return (numbers > 1 and len(runs) >= 0.4 * len(word)) or (
        numbers > 2 and len(runs) >= 0.25 * len(word)
    )


def _redact_card(match: re.Match[str]) -> str:
    start, end = match.span()
    before, after = match.string[max(start - 1, 0) : start], match.string[end : end + 2]
    stands_alone = not (before.isalnum() or before in {".", "_", "-"}) and not (
        after[:1].isalnum() or after[:1] == "_" or (after[:1] in "-." and after[1:].isdigit())
    )

    digits = [int(character) for character in match[0] if character.isdigit()]
    is_card = stands_alone and _ISSUER.match(match[0]) and len(digits) < 20
    return REDACTED if is_card and _passes_luhn(digits) else match[0]


def _passes_luhn(digits: list[int]) -> bool:
    """Check the last digit as in ISO/IEC 7812-1, annex B."""
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
