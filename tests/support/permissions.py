"""The users of Redis that docs/security.md documents."""

import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

SECRET = "hunter2"
"""The password of the user that a test makes."""

_DOCUMENTED = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
_USERS = {
    line[2]: line[3:]
    for line in map(shlex.split, re.findall(r"^ACL SETUSER .*", _DOCUMENTED, re.MULTILINE))
}
WRITER, READER = _USERS["logcommon"], _USERS["logcommon-reader"]

Admit = Callable[..., Awaitable[str]]
"""Makes a user with just these permissions, and returns its URL."""
