"""Exceptions that are found in text count as the ones that are caught do."""

import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from logcommon.messages.origin import origin_of
from logcommon.messages.tracebacks import origin_in


def load(folder: Path, code: str) -> Callable[[], None]:
    """Return the function `fail` of a module `shop/orders.py` with this code."""
    path = folder / "shop" / "orders.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(code))
    scope: dict[str, object] = {"__name__": "shop.orders"}
    exec(compile(path.read_text(), str(path), "exec"), scope)  # noqa: S102  # ours
    return scope["fail"]  # type: ignore[return-value]


@pytest.mark.parametrize(
    "code",
    [
        "def fail(): raise ValueError('bad\\nnews')",
        "def fail(): raise KeyError",
        """
        class MoneyError(Exception): pass
        def fail(): raise MoneyError('Traceback')
        """,
        """
        import json
        def fail():
            json.loads('{')
        """,
        """
        import pytest
        def fail():
            pytest.fail('x')
        """,
        """
        def fail():
            try:
                {}['a']
            except KeyError as error:
                raise RuntimeError('b') from error
        """,
        """
        def fail():
            try:
                {}['a']
            finally:
                1 / 0
        """,
        """
        def fail():
            raise ExceptionGroup('two', [ValueError(1), KeyError(2)])
        """,
        """
        def one():
            raise ValueError(1)
        def fail():
            try:
                one()
            except ValueError as error:
                raise ExceptionGroup('one', [error])
        """,
        "def fail(): fail()",
        "def fail(): exec('a b')",
    ],
)
def test_the_text_says_what_the_exception_says(tmp_path: Path, code: str) -> None:
    """Formatted by Python, an exception is counted as `origin_of` counts it."""
    fail = load(tmp_path, code)
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # one of pytest's among them
        fail()
    error = caught.value
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next  # without this test

    text = "".join(traceback.format_exception(error))
    assert origin_in(f"it broke\n{text}") == origin_of(error)


@pytest.mark.parametrize(
    ("file", "function", "place"),
    [
        ("/srv/app/shop/db.py", "load", "shop/db.py"),
        ("C:\\app\\shop\\db.py", "load", "shop/db.py"),
        ("/srv/app/main.py", "<module>", "main.py"),
        ("main.py", "load", "main.py"),
        ("<stdin>", "<module>", "<stdin>"),
        ("/v/lib/python3.12/site-packages/redis/client.py", "load", "redis/client.py"),
        ("/usr/lib/python3/dist-packages/redis/client.py", "load", "redis/client.py"),
        ("/usr/lib/python3.12/json/decoder.py", "decode", "json/decoder.py"),
    ],
)
def test_places(file: str, function: str, place: str) -> None:
    """A path is shortened to what is the same on every machine."""
    text = (
        f'Traceback (most recent call last):\n  File "{file}", line 7, in {function}\n'
        "shop.errors.MoneyError: no\n"
    )
    assert origin_in(text) == f"MoneyError at {place}:7"


def test_the_line_is_one_of_the_application() -> None:
    """The innermost frame in it counts, even if others are further in."""
    text = """\
Traceback (most recent call last):
  File "/srv/app/main.py", line 1, in run
    load()
  File "/srv/app/db.py", line 2, in load
    execute()
  File "/v/lib/python3.12/site-packages/redis/client.py", line 3, in execute
    json.loads(reply)
  File "/usr/lib/python3.12/json/__init__.py", line 4, in loads
    raise
ValueError: 17
"""
    assert origin_in(text) == "ValueError at app/db.py:2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all is well", None),
        ("Traceback (most recent call last):", None),
        ('Traceback (most recent call last):\n  File "a.py", line 1, in b\n', None),
        ("Traceback (most recent call last):\n!?", None),
        ("Traceback (most recent call last):\nKeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_what_is_cut_off(text: str, expected: str | None) -> None:
    """Without the line that names the error there is none, and without a frame no place."""
    assert origin_in(text) == expected


def test_it_depends_on_nothing_installed() -> None:
    """A path of another Python's library is recognized as well as one of this one."""
    text = (
        'Traceback (most recent call last):\n  File "/srv/a/b.py", line 1, in c\n'
        f'  File "/opt/lib/python3.99/asyncio/x.py", line 2, in d\nValueError: {sys.version}\n'
    )
    assert origin_in(text) == "ValueError at a/b.py:1"
