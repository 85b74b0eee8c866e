"""Virtual environments for the applications, each with its own packages, kept between runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """The Python of an environment in *folder* with *requirements*; made and filled where it is missing."""
    python = folder / "bin" / "python"
    done = folder / "requirements.txt"
    wanted = "\n".join(requirements)
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True
    )
    done.write_text(wanted, encoding="utf-8")
    return python


def version(python: Path, package: str) -> str:
    """The version of *package* that is installed there."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    answer = subprocess.run([python, "-c", code, package], check=True, capture_output=True, text=True)
    return answer.stdout.strip()
