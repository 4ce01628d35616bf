"""The project's tasks: `nox -l` lists them, `nox -s lint` runs one.

Each runs in an environment of its own. `nox --no-venv` uses the active one instead, as CI does.
"""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "typing", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = [
    *nox.project.python_versions(PROJECT),
    "3.14",  # not promised yet
]
EXAMPLES = [
    "tests/test_documentation.py",
    "tests/integrations/test_example_aiohttp.py",
    "tests/integrations/test_example_fastapi.py",
]


def install_project(session: nox.Session) -> None:
    """Install the project for development, unless the environment is the caller's."""
    if session.venv_backend != "none":
        session.install("-e", ".[dev]")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after `--` go to pytest."""
    install_project(session)
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session(python=PYTHONS)
def compatibility(session: nox.Session) -> None:
    """Do all that a client can do, with each Python, server, protocol and event loop."""
    session.install(".[embedded]", "fakeredis", "hypothesis", "pytest", "pytest-asyncio", "uvloop")
    session.run("pytest", "tests/compatibility", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests, and report the lines and branches that none of them reaches."""
    install_project(session)
    session.env["COVERAGE_FILE"] = str(Path(".coverage").resolve())  # in any working directory
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-n", "auto", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, and which module may import which."""
    install_project(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types: in our code, and as users of the package see them."""
    install_project(session)
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "logcommon", "--ignoreexternal")


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example in the README, the documentation and the docstrings."""
    install_project(session)
    session.run("pytest", "-n", "auto", *EXAMPLES, *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks and the soak for a few seconds each: do they work, are counts exact."""
    install_project(session)
    session.run("python", "benchmarks/throughput.py", "--quick")
    session.run("python", "benchmarks/call_cost.py", "--quick")
    session.run("python", "benchmarks/replicas.py", "--rounds", "1")
    session.run("python", "benchmarks/web.py", "--rounds", "1")
    session.run("python", "benchmarks/soak.py", "--seconds", "5")


@nox.session
def build(session: nox.Session) -> None:
    """Build the release in `dist/`, check what it says of itself, and run the wheel."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", silent=True)
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))

    (wheel,) = Path("dist").glob("*.whl")
    session.install("--force-reinstall", f"{wheel}[cli,embedded]")
    session.run("logcommon", "demo", "--seconds", "2")
