"""A folder with one log, on which the program is called."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from calling import CalledWorld


class LogWorld(CalledWorld):
    """A folder with a log and a policy that keeps its lines for 90 days."""

    now: ClassVar[str] = "2026-06-01T00:00:00Z"

    @property
    def log(self) -> Path:
        """The log."""
        return self.folder / "a.jsonl"

    def say(self, more: str = "") -> None:
        """Write the policy, with *more* keys of the dataset."""
        dataset = f"{{store: a.jsonl, time: at, type: kind, key: n, keep: 90 days, archive: none{more}}}"
        self.write(f"version: 1\ndatasets:\n  a: {dataset}\n")

    def say_two_rules(self) -> None:
        """Write the policy with a rule for lines of kind ``b`` before that for all."""
        self.say()
        text = self.policy_file.read_text()
        self.write(text.replace("keep: 90 days", "keep: [{kind: b, for: 9 days}, {for: 90 days}]"))

    def done(self, *arguments: str) -> str:
        """What the program prints, which must do what it is asked."""
        result = self.call(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout
