"""What secrets look like, and the words (needles) that show where one may be. No I/O.

Messages may be long and hostile. So a pattern that could fail late is bounded in length, or can't
start again inside text that it has already read. Messages may also have been cut: a secret without
an end goes on to the end of the message.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

_Shape: TypeAlias = tuple[tuple[str, ...], re.Pattern[str]]
"""Needles in lower case, and the pattern to try where one of them is found."""


def _shape(needles: str, pattern: str, flags: int = re.IGNORECASE, **parts: str) -> _Shape:
    for name, part in parts.items():
        pattern = pattern.replace(name, part)
    return tuple(needles.split()), re.compile(pattern, re.VERBOSE | flags)


def _tokens(prefixes: str, rest: str) -> _Shape:
    """Return the shape of tokens that begin with one of some prefixes, in just that case."""
    one = "|".join(map(re.escape, prefixes.split()))
    return _shape(prefixes.lower(), rf"(?P<keep> (?<![A-Za-z0-9_]) ) (?: {one} ) {rest}", 0)


# Not values: an empty string, a mask, a placeholder, the beginning of a nested structure, or a
# variable's name, as in a line of a traceback.
_PLACEHOLDER = r"""(?! ["']{2} | \*{3} | <[\w\ .]+> | \[\w+\] | \$\{ | \{\{ | \{\w*\} | %[(s]
    | SecretStr\( | [{(\[] (?: \\*["'] | \s | \Z ) | (?:args|config|os|self|settings)[.\[]
    | (?:api_?key|passw(?:or)?d|pwd|secret|token) (?! [\w=/+-] | [.@!$\#]\w )
    | ["']? (?:none|null|nil|true|false|undefined|n/a|redacted|filtered|hidden) (?![\w-])
    | /(?:app|data|etc|home|mnt|opt|root|run|srv|tmp|usr|var|workspace)/ )"""

# Words that continue a sentence after `password:` or `--token`. After `password=` none does.
_PROSE = r"""(?! (?:
    a | an | and | are | as | at | authentication | because | but | by | can | can't | cannot
    | changed? | changing | check(?:ed|ing)? | could | created | decode | deleted | denied | did
    | disabled | do | does | doesn't | empty | enabled | enter | error | expected | expire[ds]?
    | failed | failure | field | for | forbidden | format | found | from | generated | granted
    | had | has | have | header | if | in | incorrect | invalid | is | isn't | issued | issuer
    | length | loaded | malformed | mismatch | missing | must | needs | no | not | of | ok | old
    | on | only | optional | or | pam_\w+ | parameter | password | payload | permission | please
    | received | refresh(?:ed)? | rejected | removed | requested | required | requires | reset
    | retry | revoked | rotated? | saved | sent | set | should | signature | skipped | stored | str
    | string | success(?:ful(?:ly)?)? | the | this | to | too | try | unable | unauthorized
    | unexpected | unknown | unset | updated | use[drs]? | valid | validated | value | verified
    | was | were | when | will | with | wrong | yes | you | your | falsch | fehlt | geändert | ist
    | ungültig | wurde | expiré | incorrecte? | invalide
    ) (?! [\w=/+-] | [.@!$\#]\w ) | \d{1,3} (?![\w-]) )"""

_QUOTED = r"""(?: [bru]{0,2}" [^"\\]* (?: \\[\s\S] [^"\\]* )* (?: " | \\?\Z )
    | [bru]{0,2}' [^'\\]* (?: \\[\s\S] [^'\\]* )* (?: ' | \\?\Z )
    # Within JSON within JSON: \"…\", where \\\" is a quote of the value.
    | \\{1,4}" [^"\\]* (?: \\ (?: \\ (?:\\")? | [^"\\] ) [^"\\]* )* (?: \\?" | \\?\Z ) )"""

# Up to the next separator, without a closing bracket or full stop at the end.
_VALUE = rf"""(?: {_QUOTED} | [^\s,;&"']* [^\s,;&"')\]}}>.] )"""

_SCHEME = r"(?: (?: apikey | aws4-hmac-sha256 | basic | bearer | digest | negotiate | token ) \s+ )"

_OWNERS = (
    "access account api app auth client consumer deploy encryption fernet hmac jwt license master "
    "private secret service session shared signing ssh storage subscription"
)
_KEY = rf"""(?: passw(?:or[dt]|d) | passphrase | passcode | pwd | kennwort | senha
    | mot[_ ]de[_ ]passe | contrase[ñn]a
    | (?: (?<![a-z]) | (?-i: (?<=[a-z]) (?=P) ) ) pass
      (?= ["']?[ ]*= | ["'][ ]*: | :[ ]*["'] ) (?!["']?[ ]*=[ ]*\d+\b)
    | (?<![a-z]) (?: pw | psk ) (?= ["']?[ ]*= )
    | secret | (?<!unexpected\ )token | (?<![a-z])credentials? (?= ["']?[ ]*= )
    | (?:{_OWNERS.replace(" ", "|")}) [ ._-]? key )
    (?: \d{{1,2}} | _? (?: base | confirm(?:ation)? | hash ) )?"""

_SHAPES = (
    # password=…, "api_key": "…", user[client-secret] => …, "name": "API_KEY", "value": "…"
    _shape(
        f"pass pw psk kennwort senha mot contrase secret token credential {_OWNERS}",
        rf"""(?P<keep> {_KEY} (?: ["'],[ ]*["']value )? \\*["']? \]? [ \t]*
            (?: (?: =>? | := | == | -> ) [ \t]* (?! (?<=[ \t])[a-z_]{{1,20}}=[^=\s] )
              | :(?![:=]) [ \t]* {_PROSE} )
            (?>{_SCHEME}?) {_PLACEHOLDER} ) {_VALUE}""",
    ),
    # --password …, and in a list of arguments '--password', '…'
    _shape(
        "--",
        rf"""(?P<keep> --(?:[a-z0-9]{{1,20}}-){{0,3}}
            (?: pass(?:word|wd|phrase)? | pwd | token | secret
              | (?:access|account|api|auth|encryption|private|secret)-?key )
            (?: ["']?[ \t]+ | ["'],[ ]*(?=["']) ) ) (?!-) {_PLACEHOLDER} {_PROSE} {_VALUE}""",
    ),
    # <password>…</password>
    _shape(
        "<",
        r"""(?P<keep> <[\w.:-]{0,40}(?:password|passwd|secret|token|api_?key)(?:[ ][^<>]{0,200})?> )
            [^<\s][^<]* (?= </ | \Z )""",
    ),
    # A private key, with line ends or with \n written out
    _shape(
        "begin",
        r"""(?P<keep> (?<=-----) BEGIN[ ][A-Z0-9 ]{0,20}PRIVATE[ ]KEY(?:[ ]BLOCK)?----- )
            (?!<redacted>) [\s\S]*? (?: -----END[A-Z0-9 ]{0,50}----- | \Z )""",
    ),
    # scheme://user:password@host, where the password may have an @, and a / if it is no port
    _shape(
        "://",
        r"""(?P<keep> ://[^\s/:@?\#\[\]]*: ) (?! @ | \d{1,5}(?:[/?\#,;)\]}>"'\s]|\Z) )
            (?: RUN (?=@) | RUN \Z )""",
        RUN=r"""[^\s"'<>:]* (?: :(?!//) [^\s"'<>:]* )*""",
    ),
    # scheme://token@host
    _shape("://", r"(?P<keep> :// ) [\w-]{20,} (?=@)"),
    # Authorization: Bearer abc… ; Proxy-Authorization: Basic dXNlcg== ; (b'authorization', b'…')
    _shape(
        "authorization",
        rf"""(?P<keep> authorization (?: \\*["']? \s*[:=]\s* | ["'],[ ]* )
            {_PLACEHOLDER} {_PROSE} (?> (?: b?\\*["'] )? {_SCHEME}? ) {_PLACEHOLDER} )
            [^\s"',;\\]+""",
    ),
    _shape(
        "cookie",
        r"""(?P<keep> cookie \\*["']? (?: [ ]*[:=][ ]* | ,[ ]*b? ) \\*["']? )
            PAIR (?: ;[ ]* (?: PAIR | [a-z]{1,20} ) )*""",
        PAIR=r"""[\w!\#$%&*+.^`|~-]{1,100} = (?: "[^"]*"? | [^\s;,"']* )""",
    ),
    _shape(
        "bearer",
        r"(?P<keep> \bbearer\s+ ) (?![a-z_]{1,30}=[^=\s]) (?: (?=[^\s\d]*\d) RUN{8,} | RUN{24,} )",
        RUN=r"[\w.~+/=-]",
    ),
    # In base64; not `Basic authentication`
    _shape(
        "basic",
        r"""(?P<keep> \bBasic\s+ ) (?= [^\s\d=]*[\d=] ) (?= [^\sA-Z]*[A-Z] ) (?= [^\sa-z]*[a-z] )
            [A-Za-z0-9+/]{8,} ={0,2} (?![\w"'-])""",
        flags=0,
    ),
    # curl -u user:password; not docker's -u 1000:1000
    _shape(
        "-u --",
        r"""(?P<keep> (?<![\w-]) (?: -u | --user | --proxy-user ) (?: [ =]["']? | ["'],[ ]*["'] )
            [^\s:"'=/]{1,64}: ) (?! // | \d+\b ) (?: (?<=["'])[^"']+ | [^\s"']+ )""",
    ),
    # Passwords in commands, configuration and SQL
    _shape(
        "identified pass login requirepass masterauth auth sshpass -cli mysql mariadb",
        rf"""(?P<keep>
            (?: identified\s+by | (?<=with\ |pted\ )password ) \s+ (?=')
            | (?<![\w-]) (?: login\s+\S{{1,100}}\s+password | requirepass | masterauth ) [ \t]+
            | (?<![\w-]) pass: (?=\S{{4}}) | (?<![\w-]) auth\s+(?:plain|login)\s+ (?=[\w+/]{{8}})
            | sshpass\s+-p[ ]* | -cli\b[^\n|]{{0,80}}?\s-a\s+
            | (?: mysql(?:admin|dump)? | mariadb ) \s[^\n|]{{0,80}}?(?<=\s)-p (?=[^\s-]) )
            {_PLACEHOLDER} {_VALUE}""",
    ),
    # Values that are too short to look random: their name shows that they are secret
    _shape(
        "sig sess jsess phpsess asp.net_sess connect.sid auth",
        r"""(?P<keep> (?<![a-z]) (?: sig(?:nature)? | (?:j|php|asp\.net_)?sess(?:ion)?[_-]?id
            | connect\.sid | (?<=[_?&])auth ) ["']? [ ]*[:=][ ]* ["']? )
            (?=[^\s\d]{0,64}\d) [^\s,;&"'<]{16,}""",
    ),
    _shape(
        "otp cvv cvc",
        r"""(?P<keep> (?<![a-z]) (?: otp | cv[vc]2? ) (?:_?code)? ["']? [ ]*[:=][ ]* ["']? )
            \d{3,8} (?!\w)""",
    ),
    # URLs that let anyone who knows them post
    _shape(
        "hooks.slack api/webhooks webhook.office",
        r"""(?P<keep> hooks\.slack\.com/(?:services|triggers|workflows)/
            | api/webhooks/\d{1,20}/ | webhook\.office\.com/webhookb2/ ) [^\s"'<>]+""",
    ),
    # Issuers' prefixes; with a `_` allowed after them, names of variables would match
    _tokens(
        "A3T AKIA ASIA ABIA ACCA",
        r"(?: [A-Z2-7]{16,17} (?![A-Z0-9]) | (?=[A-Z]*[2-7]) [A-Z2-7]{6,}\Z )",
    ),
    _tokens("eyJ", r"[\w+/=-]{5,} (?: \. [\w+/=-]* )*"),
    _tokens(
        "ghp_ gho_ ghu_ ghs_ ghr_ npm_ hf_ gsk_ r8_ dckr_pat_ lin_api_ figd_ dop_v1_ doo_v1_ "
        "dor_v1_ shpat_ shpca_ shppa_ shpss_ sk_live_ sk_test_ rk_live_ rk_test_ whsec_ rubygems_ "
        "sbp_ tfp_ NRAK- pul- dapi key- LTAI ATBB GR1348941",
        r"(?: [A-Za-z0-9]{20,} | (?=[A-Za-z]*[0-9]) [A-Za-z0-9]{6,}\Z )",
    ),
    _tokens(
        "github_pat_ glagent- glcbt- gldt- glffct- glft- glimt- gloas- glpat- glptt- glrt- glsoat- "
        "xoxa- xoxb- xoxc- xoxd- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs- xapp- AIza ya29. GOCSPX- "
        "pypi-AgE hvb. hvs. hvr. xkeysib- xsmtpsib- sq0atp- sq0csp- ATATT3 ATCTT3 dp.pt. dp.st. "
        "tskey- nvapi- xai- 1//0 AGE-SECRET-KEY-1 sntrys_ sntryu_ glsa_ glc_ PMAK-",
        r"(?: [\w=./+-]{10,} | [\w=./+-]{4,}\Z )",
    ),
    # OpenAI and others; needs a digit and length, as a name with hyphens may also begin with `sk-`
    _tokens("sk-", r"(?= [A-Za-z_-]{0,64}[0-9] ) (?: [\w-]{20,} | [\w-]{8,}\Z )"),
    _tokens("SG.", r"[\w-]{16,} (?: \. [\w-]* )?"),
    # A Telegram bot's, after its number; an Azure application's, after its first characters
    _shape(":aa q~", r"(?P<keep> (?<=[0-9]) (?: :AA | Q~ ) ) [\w.~-]{30,}", flags=0),
)


def _patterns_by_needle(shapes: Iterable[_Shape]) -> dict[str, tuple[re.Pattern[str], ...]]:
    """Return the patterns to try at each needle; no needle is a prefix of another."""
    needles = {needle for needles, _ in shapes for needle in needles}
    shortest = {
        needle
        for needle in needles
        if not any(needle.startswith(other) for other in needles - {needle})
    }

    return {
        prefix: tuple(
            pattern
            for needles, pattern in shapes
            if any(needle.startswith(prefix) for needle in needles)
        )
        for prefix in shortest
    }


def _one_of(words: Iterable[str]) -> str:
    """Return an expression for any of some words.

    `re` tries alternatives one by one, so words are grouped by their first letter.
    """
    rests: dict[str, list[str]] = {}
    for word in sorted(words):
        rests.setdefault(word[0], []).append(re.escape(word[1:]))
    return "|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in rests.items())


PATTERNS = _patterns_by_needle(_SHAPES)
"""The patterns to try at each needle. The text of their group `keep` stays; the rest is secret."""

NEEDLE = re.compile(_one_of(PATTERNS))
"""Finds a needle in a message in lower case."""
