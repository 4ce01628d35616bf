"""Secrets in common shapes, taken out of messages before anything is kept. Pure.

A net with holes, for accidents: what a service must not log, it should not log.
"""

import re

REDACTED = "<redacted>"

# A message may be long and hostile: none of these looks at a character more than a few times.
_SHAPES = (
    # Authorization: Bearer abc… ; Proxy-Authorization: Basic dXNlcg==
    re.compile(
        r"""(?ix) (?P<keep> authorization ["']? \s*[:=]\s* ["']?
            (?:(?:basic|bearer|digest|negotiate|token)\s+)? ) (?P<secret> [^\s"',;]+ )"""
    ),
    # password=…, "api_key": "…", client-secret: …
    re.compile(
        r"""(?ix) (?P<keep> (?:password|passwd|secret|token|api[_-]?key|access[_-]?key)
            ["']? \s*[:=]\s* ) (?P<secret> "[^"]*" | '[^']*' | [^\s,;&"']+ )"""
    ),
    # scheme://user:password@host
    re.compile(r"(?P<keep>://[^\s/:@]*:)(?P<secret>[^\s/@]+)(?=@)"),
    # JSON web tokens, and long random words: 32 characters or more, with letters and digits.
    # Not with - or /, which would take paths and UUIDs for tokens.
    re.compile(r"(?P<keep>)(?<![\w-])(?P<secret>eyJ[\w-]+\.[\w-]+\.[\w-]*)"),
    re.compile(
        r"(?P<keep>)(?<![\w+])(?P<secret>(?=[\w+]*[0-9])(?=[\w+]*[A-Za-z])[\w+]{32,}={0,2})"
    ),
)

_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")


def redact_secrets(message: str) -> str:
    """Return `message` with secrets in common shapes replaced by `<redacted>`.

    These are authorization headers, values of `password=` and its kin, passwords in URLs, tokens
    of 32 characters or more, and card numbers (ISO/IEC 7812, by their Luhn check digit).
    """
    for shape in _SHAPES:
        message = shape.sub(rf"\g<keep>{REDACTED}", message)
    return _CARD.sub(_redact_card, message)


def _redact_card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match[0] if character.isdigit()]
    return REDACTED if _passes_luhn(digits) else match[0]


def _passes_luhn(digits: list[int]) -> bool:
    """Check the last digit as ISO/IEC 7812-1, annex B, has it."""
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
