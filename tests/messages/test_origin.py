"""What an exception is counted as."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import logcommon
from logcommon.messages.origin import is_application_code, origin_of

STANDARD_LIBRARY = sysconfig.get_path("stdlib")
INSTALLED = sysconfig.get_path("purelib")


def code_at(filename: str, module: object, source: str, spec: str | None = None) -> FunctionType:
    """Return the function `run` of code that seems to come from a file."""
    names: dict[str, Any] = {"__name__": module}
    if spec is not None:
        names["__spec__"] = ModuleSpec(spec, None)

    exec(compile(source, filename, "exec"), names)  # noqa: S102  # our own source
    run: FunctionType = names["run"]
    return run


HERE = "tests/messages/test_origin.py"
CALL = "def run(function, *more):\n    return function(*more)\n"
RAISE = "def run():\n\n    raise ValueError('secret 4711')\n"


def error_of(function: Callable[..., object], *arguments: object) -> BaseException:
    """Return what a function raises."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # of whatever kind
        function(*arguments)
    return caught.value


def origin_through(*functions: FunctionType) -> str:
    """Return the origin of an error raised by the last of functions that call one another.

    The frames of pytest and of this file are left out.
    """
    error = error_of(*functions)
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code is not functions[0].__code__:
        traceback = traceback.tb_next

    return origin_of(error.with_traceback(traceback))


def raise_in(filename: str, module: object, spec: str | None = None) -> str:
    """Return the origin of an error that is raised in the third line of a file."""
    return origin_through(code_at(filename, module, RAISE, spec))


@pytest.mark.parametrize(
    ("filename", "module", "expected"),
    [
        ("/srv/shop/app/orders.py", "app.orders", "app/orders.py:3"),
        ("/home/me/shop/app/api/v1/orders.py", "app.api.v1.orders", "app/api/v1/orders.py:3"),
        ("/srv/shop/app/__init__.py", "app", "app/__init__.py:3"),
        ("/srv/shop/app/api/__init__.py", "app.api", "app/api/__init__.py:3"),
        ("/srv/shop/orders.py", "orders", "orders.py:3"),
        ("/srv/shop/orders.py", "__main__", "orders.py:3"),
        ("orders.py", "__main__", "orders.py:3"),
        ("/srv/__init__.py", "__init__", "__init__.py:3"),
        (f"{INSTALLED}/kombu/pools.py", "kombu.pools", "kombu/pools.py:3"),
        ("/usr/lib/python3/dist-packages/six.py", "six", "six.py:3"),
        (f"{STANDARD_LIBRARY}/json/decoder.py", "json.decoder", "json/decoder.py:3"),
        ("<string>", "app.orders", "<string>:3"),
        ("<string>", "", "<string>:3"),
        ("<stdin>", "__main__", "<stdin>:3"),
        ("/srv/shop/app/rules.py", None, "rules.py:3"),
        ("/srv/shop/app/rules.py", 5, "rules.py:3"),
    ],
)
def test_an_origin_is_the_same_on_every_machine(
    filename: str, module: object, expected: str
) -> None:
    """The path has as many parts as the module's name, wherever the project is on the disk."""
    assert raise_in(filename, module) == f"ValueError at {expected}"


@pytest.mark.parametrize(
    ("filename", "spec", "expected"),
    [
        ("/srv/shop/app/orders.py", "app.orders", "app/orders.py:3"),
        ("/srv/shop/app/__main__.py", "app.__main__", "app/__main__.py:3"),
    ],
)
def test_a_module_that_is_run_has_the_origin_of_one_imported(
    filename: str, spec: str, expected: str
) -> None:
    """With `python -m` its name is `__main__`, and one bug still is one line."""
    assert raise_in(filename, "__main__", spec) == f"ValueError at {expected}"


APPLICATION = code_at("/srv/shop/app/orders.py", "app.orders", CALL)
DEEPER = code_at("/srv/shop/app/prices.py", "app.prices", "\n\n" + CALL)
PACKAGE = code_at(f"{INSTALLED}/kombu/pools.py", "kombu.pools", CALL)
LIBRARY = code_at(f"{STANDARD_LIBRARY}/json/decoder.py", "json.decoder", CALL)
FROZEN = code_at("<frozen importlib._bootstrap>", "importlib._bootstrap", CALL)
FAIL = code_at(f"{STANDARD_LIBRARY}/json/decoder.py", "json.decoder", RAISE)


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        ((APPLICATION, FAIL), "app/orders.py:2"),
        ((APPLICATION, PACKAGE, LIBRARY, FAIL), "app/orders.py:2"),
        ((APPLICATION, DEEPER, PACKAGE, FAIL), "app/prices.py:4"),
        ((PACKAGE, APPLICATION, PACKAGE, DEEPER, LIBRARY, FAIL), "app/prices.py:4"),
        ((APPLICATION, FROZEN, FAIL), "app/orders.py:2"),
        ((LIBRARY, PACKAGE, LIBRARY, FAIL), "kombu/pools.py:2"),
        ((LIBRARY, FROZEN, FAIL), "json/decoder.py:3"),
        ((FAIL,), "json/decoder.py:3"),
    ],
)
def test_the_application_comes_first(functions: tuple[FunctionType, ...], expected: str) -> None:
    """Its innermost frame counts, else that of a package, else that of the standard library."""
    assert origin_through(*functions) == f"ValueError at {expected}"


def test_which_code_is_the_applications() -> None:
    """Not that of installed packages, this one included, nor the standard library's."""
    assert is_application_code("/srv/shop/app/orders.py")
    assert not is_application_code(f"{INSTALLED}/kombu/pools.py")
    assert not is_application_code(f"{STANDARD_LIBRARY}/json/decoder.py")
    assert not is_application_code(logcommon.__file__)


def test_a_folder_with_a_name_like_that_of_the_standard_library() -> None:
    """A folder beside the standard library is not a part of it."""
    neighbour = code_at(f"{STANDARD_LIBRARY}-shop/orders.py", "orders", CALL)
    assert origin_through(neighbour, FAIL) == "ValueError at orders.py:2"


def test_an_error_that_was_never_raised() -> None:
    """Without a traceback there is the type alone."""
    assert origin_of(KeyError("secret")) == "KeyError"


def test_the_real_standard_library_and_a_real_package() -> None:
    """If json or pytest itself raises, the origin is in this file."""
    for function in (lambda: json.loads("{"), lambda: pytest.fail("secret")):
        error = error_of(function)
        line = function.__code__.co_firstlineno
        assert origin_of(error).endswith(f" at {HERE}:{line}")


def test_the_name_of_a_type_says_where_it_was_defined() -> None:
    """A class inside a function or class differs from one of the same name elsewhere."""

    class Error(Exception):
        pass

    assert origin_of(Error()).endswith(".<locals>.Error")


def test_the_text_of_an_error_is_left_out() -> None:
    """An error may say something different each time, and something secret."""
    assert "secret" not in raise_in("/srv/orders.py", "orders")


def test_an_error_raised_from_another() -> None:
    """A chain has the origin of its last error."""

    def chain() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise KeyError from error

    line = chain.__code__.co_firstlineno + 4
    assert origin_of(error_of(chain)) == f"KeyError at {HERE}:{line}"


def test_a_group_of_one_is_that_one() -> None:
    """A task group wraps an error, in groups within groups; the bug is the error itself."""

    def fail() -> None:
        raise ValueError

    error = error_of(fail)
    assert isinstance(error, Exception)
    line = fail.__code__.co_firstlineno + 1
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [error])])
    assert origin_of(group) == f"ValueError at {HERE}:{line}"


def test_a_group_of_several_is_the_group() -> None:
    """No error of several is more to blame than another, so the group's own origin counts."""

    def fail() -> None:
        raise ExceptionGroup("", [ValueError(), KeyError()])

    line = fail.__code__.co_firstlineno + 1
    assert origin_of(error_of(fail)) == f"ExceptionGroup at {HERE}:{line}"


def test_a_recursion_without_end() -> None:
    """A traceback of a thousand frames has the origin of its innermost one."""

    def recurse() -> None:
        recurse()

    line = recurse.__code__.co_firstlineno + 1
    assert origin_of(error_of(recurse)) == f"RecursionError at {HERE}:{line}"


@pytest.mark.parametrize("options", [["-m", "app.orders"], ["app/orders.py"]])
def test_a_real_program(tmp_path: Path, options: list[str]) -> None:
    """With `python -m` the module's full name is known; a script has only its file's name."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "orders.py").write_text(
        "from logcommon.messages.origin import origin_of\n"
        "try:\n    {}['secret']\nexcept KeyError as error:\n    print(origin_of(error))\n"
    )

    done = subprocess.run(
        [sys.executable, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    expected = "app/orders.py" if "-m" in options else "orders.py"
    assert done.stdout == f"KeyError at {expected}:3\n"
