"""The program `lapse`, run as a user would run it, with its JSON answers read."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class FailedError(Exception):
    """A command that ended with another exit code than 0, or an answer that is not as expected."""


@dataclass(frozen=True)
class Program:
    """`lapse` in a folder of its own, with its state beside the policy.

    Attributes:
        folder: Working folder.
        calls: The command lines so far, for the report.
    """

    folder: Path
    calls: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Any:
        """Run `lapse` with *arguments* and ``--json``; returns the result.

        Raises:
            FailedError: If it does not end with exit code 0.
        """
        shown = shlex.join(arguments)
        self.calls.append(f"lapse {shown}")
        answer = subprocess.run(
            [Path(sys.executable).with_name("lapse"), *arguments, "--json"],
            cwd=self.folder,
            env={**os.environ, "LAPSE_STATE_DIR": str(self.folder / "state")},
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode != 0:
            raise FailedError(f"lapse {shown}: exit {answer.returncode}\n{answer.stdout}{answer.stderr}")
        return json.loads(answer.stdout)["result"]


def expect(what: str, found: object, wanted: object) -> None:
    """Complain unless *found* is what was *wanted*.

    Raises:
        FailedError: If it is not.
    """
    if found != wanted:
        raise FailedError(f"{what}: found {found!r}, expected {wanted!r}")
