"""A store whose library is not installed: told in one line, with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import sys

sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))  # None there is what makes an import fail
from lapse.cli.main import main

main()
"""
_POLICY = """\
version: 1
datasets:
  log: {{store: "{store}", table: log, time: at, keep: 1 day, archive: none}}
"""


@pytest.mark.parametrize(
    ("store", "missing", "library", "extra"),
    [
        ("postgresql://nobody@localhost:1/none", "psycopg", "psycopg", "postgresql"),
        ("postgresql://nobody@localhost:1/none", "pyarrow", "pyarrow", "postgresql"),
        ("mysql://nobody@localhost:1/none", "pymysql,MySQLdb", "PyMySQL", "mysql"),
        ("duckdb:///log.duckdb", "duckdb", "duckdb", "duckdb"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_missing_library_is_told_with_how_to_get_it(
    tmp_path: Path, store: str, missing: str, library: str, extra: str, command: str
) -> None:
    """Exit 2, its name and the extra; no traceback, and nothing is remembered of a store that was never opened."""
    (tmp_path / "lapse.yaml").write_text(_POLICY.format(store=store))

    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, missing, command],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LAPSE_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path)},
    )  # fmt: skip

    assert ended.returncode == 2, ended.stderr
    assert f"{library} is not installed" in ended.stderr
    assert f"pip install 'lapse[{extra}]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_driver_without_its_own_library_is_missing_too(tmp_path: Path) -> None:
    """psycopg is there, but finds no libpq: its error has no name."""
    (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available')\n")
    (tmp_path / "lapse.yaml").write_text(_POLICY.format(store="postgresql://nobody@localhost:1/none"))

    ended = subprocess.run(
        [sys.executable, "-m", "lapse", "plan"], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LAPSE_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip

    assert ended.returncode == 2, ended.stderr
    assert "pip install 'lapse[postgresql]'" in ended.stderr
