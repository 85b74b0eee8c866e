"""Plug-ins as if they were installed: a module and the entry points that lead to it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

_PACKAGES = iter(range(10_000))


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, code: str, points: Mapping[str, Mapping[str, str]]
) -> str:
    """Put a distribution onto the path; returns the name of its module.

    Arguments:
        folder: Where it goes.
        monkeypatch: Takes it off the path again.
        code: The module.
        points: Names in the module by name of the entry point, by group.
    """
    number = next(_PACKAGES)
    module, site = f"purge_plugin_{number}", folder / f"site-{number}"
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {module}:{target}\n" for name, target in targets.items())
        for group, targets in points.items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    monkeypatch.syspath_prepend(site)
    return module
