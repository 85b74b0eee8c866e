"""Writes policies for the tests and reads the complaints about them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from lapse.errors import Complaint, PolicyError
from lapse.policyfile import load

ARCHIVE = "archives: {cold: {to: ./archive}}\n"


def write(folder: Path, text: str, name: str = "lapse.yaml") -> Path:
    """Write a policy, its indentation taken off."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")
    return path


def dataset(folder: Path, lines: str, *, head: str = "", store: str = "./logs/*.jsonl") -> Path:
    """Write a policy with one dataset of these lines, and an archive `cold`."""
    body = "".join(f"    {line}\n" for line in dedent(lines).strip("\n").splitlines())
    text = f"version: 1\n{head}{ARCHIVE}datasets:\n  log:\n    store: {store}\n    time: at\n{body}"
    path = folder / "lapse.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(path: Path) -> tuple[Complaint, ...]:
    """The complaints about a policy; the test fails if there are none."""
    with pytest.raises(PolicyError) as caught:
        load(path)
    return caught.value.complaints


def only(path: Path) -> Complaint:
    """The one complaint about a policy."""
    found = complaints(path)
    assert len(found) == 1, [str(each) for each in found]
    return found[0]


def place(complaint: Complaint) -> tuple[int, int]:
    """Line and column."""
    return complaint.origin.line, complaint.origin.column
