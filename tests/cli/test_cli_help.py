"""Help, version, completion, and the generated reference."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import lapse
from calling import ROOT, parsed
from lapse.cli.main import app


def commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[str, ...]]:
    """Every command and group below *command*, by path."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands((*path, name), child)


PATHS = list(commands((), typer.main.get_command(app)))


def lapse_(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "lapse", *arguments],
        capture_output=True, text=True, check=False, timeout=60, env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip


def test_the_commands_are_all_there() -> None:
    """What the reference promises exists."""
    names = {" ".join(path) for path in PATHS}

    assert names >= {
        "init", "check", "plan", "run", "why", "status", "trust", "refreshed", "demo",
        "hold add", "hold release", "hold list",
        "archive list", "archive verify", "archive restore", "archive query",
        "ledger show", "ledger verify", "ledger adopt",
    }  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=[" ".join(path) or "lapse" for path in PATHS])
def test_every_help_has_examples_and_exit_codes(path: tuple[str, ...]) -> None:
    """A summary, a paragraph, options, examples that begin with the command, and exit codes; in 80 columns."""
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"})

    assert result.exit_code == 0
    assert f"\nExamples:\n  lapse {' '.join(path)}".rstrip() in result.stdout
    assert "\nExit codes:\n  0  done" in result.stdout
    assert "--json" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "│" not in result.stdout


@pytest.mark.parametrize("path", [(), ("hold",), ("archive",), ("ledger",)])
def test_a_group_alone_prints_its_help(path: tuple[str, ...]) -> None:
    """Asking for nothing is answered helpfully, with 0."""
    result = CliRunner().invoke(app, list(path))

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: lapse")
    assert "Commands:" in result.stdout


@pytest.mark.parametrize("path", [(), ("hold",)])
def test_for_programs_no_command_is_an_error(path: tuple[str, ...]) -> None:
    """Help is no result."""
    assert parsed(CliRunner().invoke(app, [*path, "--json"]))["exit"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",), ("plan", "--pln"), ("why", "calls"), ("hold", "add"), ("archive", "query"),
        ("ledger", "show", "--last", "0"), ("archive", "restore", "--all", "--hold-days", "x"),
    ],
)  # fmt: skip
def test_usage_errors_end_with_2(arguments: tuple[str, ...]) -> None:
    """One line and where to look, nothing on stdout; in JSON the same."""
    result = CliRunner().invoke(app, list(arguments))

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Hint: See: lapse" in result.stderr
    assert parsed(CliRunner().invoke(app, [*arguments, "--json"]))["error"]["kind"] == "UsageError"


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    """The right spelling is suggested."""
    assert "'plan'" in CliRunner().invoke(app, ["pln"]).stderr


def test_the_version_is_printed() -> None:
    """As text, and as an object."""
    assert CliRunner().invoke(app, ["--version"]).stdout == f"lapse {lapse.__version__}\n"
    assert parsed(CliRunner().invoke(app, ["--version", "--json"]))["result"] == {"version": lapse.__version__}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_completion_for_the_usual_shells(shell: str) -> None:
    """The script for each shell asks the program itself."""
    ended = lapse_("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert ended.returncode == 0, ended.stderr
    assert "_LAPSE_COMPLETE" in ended.stdout


def test_completion_knows_commands_and_options() -> None:
    """What the shell asks for is answered, without any policy."""
    line = {"_LAPSE_COMPLETE": "complete_bash", "COMP_WORDS": "lapse ledger ", "COMP_CWORD": "2"}

    assert set(lapse_(**line).stdout.split()) >= {"show", "verify", "adopt"}


@pytest.mark.parametrize(
    ("argument", "heavy"),
    [
        ("--version", ("pydantic", "ruamel", "rich", "pyarrow", "duckdb", "lapse.engine")),
        ("--help", ("pydantic", "ruamel", "rich", "pyarrow", "duckdb", "lapse.engine", "lapse.model.policy")),
        ("run", ("pyarrow", "duckdb")),
    ],
)
def test_nothing_heavy_is_loaded_without_need(argument: str, heavy: tuple[str, ...]) -> None:
    """Help and version load no engine; a run loads the libraries of the stores that its policy names."""
    code = (
        f"import sys\nfrom lapse.cli.main import app\ntry:\n    app(['{argument}'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_generated_reference_is_up_to_date() -> None:
    """docs/reference is what the program says of itself; tools/generate_docs.py writes it."""
    ended = subprocess.run(
        [sys.executable, ROOT / "tools" / "generate_docs.py", "--check"], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
